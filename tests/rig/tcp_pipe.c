/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * tcp_pipe.c: joins standard input and output to a TCP connection, as
 * busybox's nc does, but in large pieces: on an emulated processor each system
 * call costs as much as thousands of octets, and tests/rig/bench is to measure
 * migrations.  One process for each direction.
 *
 * usage: tcp_pipe HOST PORT
 */
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE (256u << 10)

static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = { .ai_family = AF_INET,
                              .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    int fd = -1;

    if ( getaddrinfo(host, port, &hints, &list) )
        return -1;
    for ( const struct addrinfo *a = list; a && fd < 0; a = a->ai_next )
    {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
        if ( fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) )
        {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

/* Until the end of from, or until to takes no more. */
static void carry(int from, int to)
{
    static char piece[PIECE];
    ssize_t got, at, n = 0;

    while ( n >= 0 && (got = read(from, piece, sizeof(piece))) > 0 )
        for ( at = 0; at < got && n >= 0; at += n )
            n = write(to, piece + at, (size_t)(got - at));
}

int main(int argc, char **argv)
{
    int fd = argc == 3 ? connect_to(argv[1], argv[2]) : -1;
    pid_t child;

    if ( fd < 0 )
    {
        fprintf(stderr, "tcp_pipe: no connection\n");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    child = fork();
    if ( child == 0 )
    {
        close(STDIN_FILENO);
        carry(fd, STDOUT_FILENO);
        _exit(0);
    }
    close(STDOUT_FILENO);
    if ( child > 0 )
        carry(STDIN_FILENO, fd);
    shutdown(fd, SHUT_WR);
    if ( child > 0 )
        waitpid(child, NULL, 0);
    return child < 0;
}
