/* The most memory that a command, or any process that it waits for, has at a time: runs it and prints its peak resident set
 * size in KiB. A small program of its own, because a process begins with the peak of the one that has forked it.
 *
 * Usage: peak COMMAND [ARGUMENT...] */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **arguments)
{
	if (count < 2)
		return 2;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(open("/dev/null", O_WRONLY), 1);
		execvp(arguments[1], arguments + 1);
		_exit(127);
	}
	int status;
	struct rusage used;
	if (pid < 0 || wait4(pid, &status, 0, &used) < 0 || status != 0)
		return 1;
	printf("%ld\n", used.ru_maxrss);
	return 0;
}
