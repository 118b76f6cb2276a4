/* The floor: what `barepod-oci run` has the kernel do for the benchmark's bundle, in bare system calls and nothing else: no
 * configuration is read, no state is kept, no error is told in words. scripts/bench compiles it (gcc -O2 -static) and runs it
 * in turn with the runtimes.
 *
 * Usage: floor [-s] ROOTFS PROGRAM [ARGUMENT...]      -s: with a filter for system calls, as large as docker's profile makes it
 *
 * The cgroup is `floor`, on v1 in the hierarchies of the controllers that barepod uses. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(call) must((long)(call), #call)
#define COUNT(array) (sizeof(array) / sizeof *(array))

static long must(long result, const char *call)
{
	if (result < 0) {
		fprintf(stderr, "floor: %s: %s\n", call, strerror(errno));
		_exit(125);
	}
	return result;
}

static void write_file(const char *path, const char *text)
{
	int file = MUST(open(path, O_WRONLY | O_CLOEXEC));
	MUST(write(file, text, strlen(text)));
	close(file);
}

/* cgroup v1: six hierarchies, and the devices that every container may use. */

static const char *v1[] = {"cpu", "cpuacct", "memory", "pids", "devices", "freezer"};
static const char *devices[] = {"c *:* m",   "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm",   "c 1:8 rwm",
				"c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm", "b *:* m"};

static const char *in_v1(int which, const char *file)
{
	static char path[128];
	snprintf(path, sizeof path, "/sys/fs/cgroup/%s/floor%s", v1[which], file);
	return path;
}

static void make_v1(void)
{
	for (unsigned i = 0; i < COUNT(v1); i++)
		MUST(mkdir(in_v1(i, ""), 0755));
	write_file(in_v1(4, "/devices.deny"), "a");
	int allow = MUST(open(in_v1(4, "/devices.allow"), O_WRONLY | O_CLOEXEC));
	for (unsigned i = 0; i < COUNT(devices); i++)
		MUST(write(allow, devices[i], strlen(devices[i])));
	close(allow);
}

static void join_v1(void)
{
	for (unsigned i = 0; i < COUNT(v1); i++)
		write_file(in_v1(i, "/tasks"), "0");
}

/* cgroup v2: one hierarchy, and a program that decides on devices (here it allows all: what is measured is that there is one). */

#define V2 "/sys/fs/cgroup/floor"

static int make_v2(void)
{
	MUST(mkdir(V2, 0755));
	int directory = MUST(open(V2, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct bpf_insn allow[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1},
				   {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .insn_cnt = COUNT(allow)};
	load.insns = (uintptr_t)allow;
	load.license = (uintptr_t) "Apache-2.0";
	int program = MUST(syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load));
	union bpf_attr attach = {.attach_type = BPF_CGROUP_DEVICE, .attach_flags = BPF_F_ALLOW_MULTI};
	attach.target_fd = directory;
	attach.attach_bpf_fd = program;
	MUST(syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach));
	close(program);
	return directory;
}

static void mount_cgroups(int is_v2)
{
	unsigned long flags = MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY;
	if (is_v2) {
		MUST(mount("cgroup", "sys/fs/cgroup", "cgroup2", flags, NULL));
		return;
	}
	MUST(mount("tmpfs", "sys/fs/cgroup", "tmpfs", flags & ~MS_RDONLY, "mode=755"));
	for (unsigned i = 0; i < COUNT(v1); i++) {
		char path[64];
		snprintf(path, sizeof path, "sys/fs/cgroup/%s", v1[i]);
		MUST(mkdir(path, 0755));
		MUST(mount("cgroup", path, "cgroup", flags, v1[i]));
	}
	MUST(mount(NULL, "sys/fs/cgroup", NULL, MS_REMOUNT | MS_BIND | flags, NULL));
}

/* Filesystems, devices, masked and read-only paths, below the working directory. */

static void mount_all(int is_v2)
{
	unsigned long none = MS_NOSUID | MS_NOEXEC | MS_NODEV;
	MUST(mount("proc", "proc", "proc", none, NULL));
	MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
	MUST(mkdir("dev/pts", 0755));
	MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		   "newinstance,ptmxmode=0666,mode=0620,gid=5"));
	MUST(mkdir("dev/shm", 0755));
	MUST(mount("shm", "dev/shm", "tmpfs", none, "mode=1777,size=65536k"));
	MUST(mkdir("dev/mqueue", 0755));
	MUST(mount("mqueue", "dev/mqueue", "mqueue", none, NULL));
	MUST(mount("sysfs", "sys", "sysfs", none | MS_RDONLY, NULL));
	mount_cgroups(is_v2);

	static const struct {
		const char *path;
		int major, minor;
	} nodes[] = {{"dev/null", 1, 3},   {"dev/zero", 1, 5},	  {"dev/full", 1, 7},
		     {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
	for (unsigned i = 0; i < COUNT(nodes); i++)
		MUST(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
	MUST(symlink("/proc/self/fd", "dev/fd"));
	MUST(symlink("/proc/self/fd/0", "dev/stdin"));
	MUST(symlink("/proc/self/fd/1", "dev/stdout"));
	MUST(symlink("/proc/self/fd/2", "dev/stderr"));
	MUST(symlink("pts/ptmx", "dev/ptmx"));
}

static void hide(void)
{
	static const char *masked[] = {"proc/acpi",	  "proc/asound",     "proc/kcore",	 "proc/keys",
				       "proc/latency_stats", "proc/timer_list", "proc/timer_stats", "proc/sched_debug",
				       "proc/scsi",	  "sys/firmware",    "sys/devices/virtual/powercap"};
	for (unsigned i = 0; i < COUNT(masked); i++)
		/* Files take the null device; ENOTDIR says that it is a directory, ENOENT that it is not there. */
		if (mount("/dev/null", masked[i], NULL, MS_BIND, NULL) < 0 && errno == ENOTDIR)
			MUST(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, NULL));
	static const char *readonly[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
	unsigned long flags = MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY | MS_BIND;
	for (unsigned i = 0; i < COUNT(readonly); i++)
		if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) == 0)
			MUST(mount(NULL, readonly[i], NULL, MS_REMOUNT | flags, NULL));
}

/* What the process may do. */

static void give_up_capabilities(void)
{
	/* Those of the bundle: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw,
	 * sys_chroot, mknod, audit_write, setfcap. */
	const uint64_t keep = 0xa80425fb;
	for (int one = 0; one < 64; one++)
		if (!(keep >> one & 1) && prctl(PR_CAPBSET_DROP, one, 0, 0, 0) < 0)
			break;
	MUST(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	MUST(syscall(SYS_setgroups, 0, NULL));
	MUST(syscall(SYS_setresgid, 0, 0, 0));
	MUST(syscall(SYS_setresuid, 0, 0, 0));
	umask(022);
	MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{keep, keep, 0}, {0, 0, 0}};
	MUST(syscall(SYS_capset, &header, data));
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

/* Allows all calls but every fifth from number 160 on, by bisection: about as many ranges as docker's profile has. What busybox
 * needs is not among those. */

static struct sock_filter filter[1024];
static unsigned filter_length;

static void emit(uint16_t code, uint8_t yes, uint8_t no, uint32_t k)
{
	filter[filter_length++] = (struct sock_filter){code, yes, no, k};
}

#define RANGES 125

/* Where a range begins: all below 160, then in turn one call that is refused and four that are not. */
static int start(int range)
{
	return range == 0 ? 0 : 160 + (range - 1) / 2 * 5 + (range - 1) % 2;
}

static void bisect(int low, int high)
{
	if (high - low == 1) {
		emit(BPF_RET | BPF_K, 0, 0, low % 2 ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_ALLOW);
		return;
	}
	int middle = (low + high) / 2;
	unsigned at = filter_length;
	emit(BPF_JMP | BPF_JGE | BPF_K, 0, 0, start(middle));
	bisect(middle, high);
	filter[at].jf = filter_length - at - 1;
	bisect(low, middle);
}

static void filter_calls(void)
{
	emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
	bisect(0, RANGES);
	struct sock_fprog program = {filter_length, filter};
	MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

static void container(int is_v2, int filtered, const char *rootfs, char **program)
{
	struct sigaction defaults = {.sa_handler = SIG_DFL};
	for (int one = 1; one < NSIG; one++)
		sigaction(one, &defaults, NULL);
	MUST(setsid());
	syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
	if (!is_v2) {
		join_v1();
		MUST(unshare(CLONE_NEWCGROUP));
	}
	MUST(sethostname("busybox", 7));
	int any = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	MUST(ioctl(any, SIOCSIFFLAGS, &loopback));
	close(any);

	umask(0);
	MUST(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
	MUST(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL));
	MUST(mount(NULL, rootfs, NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(chdir(rootfs));
	mount_all(is_v2);
	hide();
	MUST(syscall(SYS_pivot_root, ".", "."));
	MUST(umount2(".", MNT_DETACH));
	MUST(chdir("/"));

	give_up_capabilities();
	if (filtered)
		filter_calls();
	MUST(syscall(SYS_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */));
	char *environment[] = {"PATH=/bin", NULL};
	MUST(execve(program[0], program, environment));
}

int main(int count, char **arguments)
{
	int filtered = count > 1 && strcmp(arguments[1], "-s") == 0;
	arguments += 1 + filtered;
	if (count - filtered < 3) {
		fprintf(stderr, "usage: floor [-s] ROOTFS PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	int is_v2 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
	int pidfd = -1;
	struct clone_args clone = {.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
					    CLONE_PIDFD,
				   .exit_signal = SIGCHLD};
	clone.pidfd = (uintptr_t)&pidfd;
	if (is_v2) {
		clone.flags |= CLONE_NEWCGROUP | CLONE_INTO_CGROUP;
		clone.cgroup = make_v2();
	} else {
		make_v1();
	}
	long pid = MUST(syscall(SYS_clone3, &clone, sizeof clone));
	if (pid == 0)
		container(is_v2, filtered, arguments[0], arguments + 1);
	siginfo_t end = {0};
	MUST(waitid(P_PIDFD, pidfd, &end, WEXITED));
	if (is_v2)
		MUST(rmdir(V2));
	for (unsigned i = 0; !is_v2 && i < COUNT(v1); i++)
		MUST(rmdir(in_v1(i, "")));
	return end.si_code == CLD_EXITED ? end.si_status : 128 + end.si_status;
}
