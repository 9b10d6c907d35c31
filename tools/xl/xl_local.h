/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_local.h: the sub-commands of `xl --local DIR` that do not migrate.
 *
 * argv[0] is the sub-command's name.  Each returns the exit code: 0 done,
 * 1 failure (one line on stderr), 2 wrong usage.
 */
#ifndef XL_LOCAL_H
#define XL_LOCAL_H

int xl_local_create(const char *local_dir, int argc, char **argv);
int xl_local_list(const char *local_dir, int argc, char **argv);
int xl_local_pause(const char *local_dir, int argc, char **argv);
int xl_local_unpause(const char *local_dir, int argc, char **argv);
int xl_local_check(const char *local_dir, int argc, char **argv);
int xl_local_rename(const char *local_dir, int argc, char **argv);
int xl_local_resume(const char *local_dir, int argc, char **argv);
int xl_local_destroy(const char *local_dir, int argc, char **argv);

#endif /* XL_LOCAL_H */
