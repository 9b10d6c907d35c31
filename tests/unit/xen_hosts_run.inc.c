/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xen_hosts_run.inc.c: processes on the two hosts of xen_hosts.inc.c: xl's
 * commands, each in one of its own as a user starts it, and a carrier in
 * ssh's place.  Included after all the others.
 */
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define RUN_TIMEOUT_S 60 /* nothing here takes a second */

/* ---- In such a process ------------------------------------------------------------- */

static void attach(const char *dir)
{
    char file[100];
    int fd;

    snprintf(file, sizeof(file), "%s/world", dir);
    fd = open(file, O_RDWR | O_CLOEXEC);
    must(fd >= 0);
    world =
        mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(world != MAP_FAILED);
    close(fd);
}

/* One octet stream, until either end is closed; false: it is over. */
static bool carry(struct pollfd *from, int to)
{
    char buf[16384];
    ssize_t n, at, put;

    if ( from->fd < 0 || !from->revents )
        return true;
    n = read(from->fd, buf, sizeof(buf));
    for ( at = 0; at < n; at += put )
    {
        put = write(to, buf + at, (size_t)(n - at));
        if ( put < 0 )
            return false;
    }
    return n > 0;
}

static void relay(int to_child, int from_child)
{
    struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
                             { .fd = from_child, .events = POLLIN } };

    while ( fds[1].fd >= 0 && poll(fds, 2, -1) > 0 )
    {
        if ( !carry(&fds[0], to_child) )
        {
            close(to_child);
            fds[0].fd = -1;
        }
        if ( !carry(&fds[1], STDOUT_FILENO) )
            fds[1].fd = -1;
    }
    close(from_child);
    close(STDOUT_FILENO);
}

/* carrier HOST COMMAND, as ssh has it. */
static int run_carrier(const char *command)
{
    int in[2], out[2], err, status = 0;
    char file[100];
    pid_t pid;

    signal(SIGPIPE, SIG_IGN);
    if ( pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) )
        abort();
    world->carrier = getpid();
    pid = fork();
    if ( !pid )
    {
        snprintf(file, sizeof(file), "%s/said.%d", world->dir, THERE);
        err = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        signal(SIGPIPE, SIG_DFL);
        setenv("XP_HOST", THERE == 1 ? "1" : "0", 1);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    relay(in[1], out[0]);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* What this program is when it is started with XP_WORLD; an exit status. */
static int be_a_host(int argc, char **argv)
{
    const struct xl_global global = { .local_dir = NULL };
    const char *host = getenv("XP_HOST");
    const struct xl_command *command;
    atomic_uint *counted;
    int status = 2;

    attach(getenv("XP_WORLD"));
    here = host && *host == '1' ? THERE : HERE;
    fake = &me()->helper;
    fake_fails = long_call_fails;
    if ( argc < 2 )
        return status;
    if ( !strcmp(argv[1], "carrier") )
        return argc == 4 ? run_carrier(argv[3]) : status;
    command = xl_command_find_xen(argv[1]);
    counted = !strcmp(argv[1], "migrate-receive")    ? &world->receivers
              : !strcmp(argv[1], "postcopy-monitor") ? &me()->monitors
                                                     : &world->others;
    atomic_fetch_add(counted, 1);
    if ( command )
        status = command->run(&global, argc - 1, argv + 1);
    atomic_fetch_sub(counted, 1);
    atomic_fetch_add(&world->leaks, (unsigned int)abs(objects));
    return status;
}

/* ---- In the test ---------------------------------------------------------------------- */

static volatile sig_atomic_t alarmed;

/* Which ends a wait. */
static void on_alarm(int nr)
{
    (void)nr;
    alarmed = true;
}

/* The two hosts, of which the first has the guest `g`, and runs it. */
static void open_hosts(void)
{
    pthread_mutexattr_t attr;
    const char *tmp = getenv("TMPDIR");
    char dir[80], file[100], shim[300];
    int fd;

    snprintf(dir, sizeof(dir), "%.60s/hosts-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(file, sizeof(file), "%s/world", dir);
    fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(ftruncate(fd, sizeof(struct world)), 0);
    close(fd);
    attach(dir);
    snprintf(world->dir, sizeof(world->dir), "%s", dir);
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&world->lock, &attr);
    ck_assert_ptr_nonnull(getenv("BUILD"));
    snprintf(shim, sizeof(shim), "%s/bin/xl-save-shim", getenv("BUILD"));
    setenv("XEN_POSTCOPY_SHIM", shim, 1);
    setenv("XP_WORLD", dir, 1);
    signal(SIGPIPE, SIG_IGN);
    /* What a process leaves running is ours to wait for. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm }, NULL);
}

static void reset_hosts(void)
{
    struct world *w = world;
    uint8_t uuid[16];

    memset((char *)w + offsetof(struct world, hosts), 0,
           sizeof(*w) - offsetof(struct world, hosts));
    guest_uuid(uuid);
    w->hosts[HERE].next_domid = 7;
    w->hosts[THERE].next_domid = 12;
    here = HERE;
    set_pauses(add_domain(HERE, "g", uuid), 0);
}

static void forget_files(void)
{
    char command[200];

    snprintf(command, sizeof(command), "cd %s && rm -rf 0 1 ?.* said.*",
             world->dir);
    ck_assert_int_eq(system(command), 0);
}

static void close_hosts(void)
{
    char command[100];

    snprintf(command, sizeof(command), "rm -rf %s", world->dir);
    ck_assert_int_eq(system(command), 0);
    munmap(world, sizeof(*world));
}

#define MAX_WORDS 24

static void name_self(char *buf, size_t len)
{
    ssize_t n = readlink("/proc/self/exe", buf, len - 1);

    ck_assert_int_gt(n, 0);
    buf[n] = '\0';
}

/* `migrate` and its like get the carrier to the other host. */
static bool needs_carrier(const char *word)
{
    return !strcmp(word, "migrate") || !strcmp(word, "migrate-recover");
}

/* xl LINE on that host; words are parted by blanks. */
static pid_t start_xl(int host, const char *line)
{
    char text[700], file[100], self[300], carrier[320],
        *words[MAX_WORDS + 2] = { (char *)"xl" };
    char *save = NULL, *word;
    int argc = 1, fd;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if ( pid )
        return pid;
    snprintf(text, sizeof(text), "%s", line);
    name_self(self, sizeof(self));
    snprintf(carrier, sizeof(carrier), "%s carrier", self);
    for ( word = strtok_r(text, " ", &save); word && argc < MAX_WORDS;
          word = strtok_r(NULL, " ", &save) )
    {
        words[argc++] = word;
        if ( !needs_carrier(word) || argc > 2 )
            continue;
        words[argc++] = (char *)"-s";
        words[argc++] = carrier;
    }
    snprintf(file, sizeof(file), "%s/said.%d", world->dir, host);
    fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dup2(fd, STDERR_FILENO);
    dup2(fd, STDOUT_FILENO);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(fd, STDIN_FILENO);
    setenv("XP_HOST", host == THERE ? "1" : "0", 1);
    signal(SIGPIPE, SIG_DFL);
    execv(self, words);
    _exit(127);
}

/* What was said on that host so far, in a buffer of its own. */
static const char *said(int host)
{
    static char texts[NR_HOSTS][16384];
    char file[100];
    ssize_t n = 0;
    int fd;

    snprintf(file, sizeof(file), "%s/said.%d", world->dir, host);
    fd = open(file, O_RDONLY | O_CLOEXEC);
    if ( fd >= 0 )
    {
        n = read(fd, texts[host], sizeof(texts[host]) - 1);
        close(fd);
    }
    texts[host][n > 0 ? n : 0] = '\0';
    return texts[host];
}

/* Its exit status; fails the test if it does not end. */
static int wait_xl(pid_t pid)
{
    int status = -1;

    alarm(RUN_TIMEOUT_S);
    ck_assert_msg(waitpid(pid, &status, 0) == pid, "process %d hangs: %s--\n%s",
                  (int)pid, said(HERE), said(THERE));
    alarm(0);
    ck_assert_msg(WIFEXITED(status), "it ended by signal %d", status & 127);
    return WEXITSTATUS(status);
}

/* Until nothing runs any more on either host, nor watches the guest. */
static void wait_all(void)
{
    int status;

    atomic_store(&world->over, true);
    alarm(RUN_TIMEOUT_S);
    while ( waitpid(-1, &status, 0) > 0 )
        ck_assert_msg(WIFEXITED(status) || WTERMSIG(status) == SIGKILL,
                      "a process ended by signal %d", status & 127);
    ck_assert_msg(errno == ECHILD, "a process hangs");
    alarm(0);
    atomic_store(&world->over, false);
}

/* Until a condition holds that other processes bring about. */
static void wait_until(bool (*holds)(void))
{
    alarm(RUN_TIMEOUT_S);
    alarmed = false;
    while ( !holds() && !alarmed )
        usleep(500);
    alarm(0);
    ck_assert_msg(!alarmed, "it never comes to it: %s--\n%s", said(HERE),
                  said(THERE));
}

static int xl(int host, const char *line)
{
    return wait_xl(start_xl(host, line));
}
