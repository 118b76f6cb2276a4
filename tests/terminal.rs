//! Terminals: `barepod exec -t` and `barepod debug -t`, seen from one, and containers that have one.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};
use std::time::Duration;

use barepod::kernel::process::readable;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};
use support::*;

const SLEEPER: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: box}\nspec:\n  terminationGracePeriodSeconds: 0\n  \
                       containers: [{name: app, image: box, command: [sleep, '1000'], securityContext: {runAsUser: 1234}}]";

/// `barepod` in a terminal of 40 rows and 120 columns, and a person in front of it.
struct Person {
    child: Child,
    screen: File,
    terminal: OwnedFd,
    seen: String,
}

impl Person {
    fn at(lab: &Lab, args: &[&str]) -> Person {
        let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let stream = || Stdio::from(pair.slave.try_clone().unwrap());
        let child = lab.command(args).stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        Person { child, screen: File::from(pair.master), terminal: pair.slave, seen: String::new() }
    }

    fn types(&mut self, text: &str) {
        self.screen.write_all(text.as_bytes()).unwrap();
    }

    /// Looks until the words are there.
    fn sees(&mut self, words: &str) {
        let deadline = std::time::Instant::now() + seconds(10);
        while !self.seen.contains(words) {
            assert!(std::time::Instant::now() < deadline, "{words:?} in {:?}", self.seen);
            if readable(self.screen.as_fd(), Duration::from_millis(100)).unwrap() {
                let mut piece = [0; 4096];
                let length = self.screen.read(&mut piece).unwrap();
                self.seen += &String::from_utf8_lossy(&piece[..length]);
            }
        }
    }

    fn leaves(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

#[test]
fn a_command_gets_a_terminal_with_a_name_a_size_and_its_users_ownership() {
    let lab = Lab::new();
    let pod = lab.start_ready(SLEEPER);
    let mut person = Person::at(&lab, &["exec", "-it", &pod, "--", "sh"]);
    person.types("tty; stty size; stat -c owner=%u /dev/pts/0\n");
    person.sees("/dev/pts/0");
    person.sees("40 120");
    person.sees("owner=1234");
    person.types("exit 7\n");
    assert_eq!(person.leaves(), Some(7));
}

#[test]
fn ctrl_c_reaches_the_command_and_not_barepod() {
    let lab = Lab::new();
    let pod = lab.start_ready(SLEEPER);
    let mut person = Person::at(&lab, &["exec", "-it", &pod, "--", "sh"]);
    // Said by the foreground job itself: before it is there, Ctrl-C would reach the shell.
    person.types("sh -c 'echo ready-$((40+2)); sleep 1000'\n");
    person.sees("ready-42");
    person.types("\u{3}");
    person.types("echo interrupted-$?\n");
    person.sees("interrupted-130");
    person.types("exit\n");
    assert_eq!(person.leaves(), Some(0));
}

#[test]
fn a_change_of_size_is_passed_on() {
    let lab = Lab::new();
    let pod = lab.start_ready(SLEEPER);
    let mut person = Person::at(&lab, &["exec", "-it", &pod, "--", "sh"]);
    person.types("echo ready-$((40+2)); until stty size | grep -x '11 77'; do sleep 0.1; done\n");
    person.sees("ready-42");
    let size = nix::libc::winsize { ws_row: 11, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
    barepod::kernel::sys::set_window_size(person.terminal.as_fd(), &size).unwrap();
    // The kernel tells the foreground group of a controlling terminal; this one controls nobody, so the test does.
    signal(person.child.id() as i32, nix::sys::signal::Signal::SIGWINCH);
    person.sees("\r\n11 77\r\n");
    person.types("exit\n");
    assert_eq!(person.leaves(), Some(0));
}

#[test]
fn the_persons_terminal_is_as_before_when_the_command_has_ended() {
    let lab = Lab::new();
    let pod = lab.start_ready(SLEEPER);
    let mut person = Person::at(&lab, &["exec", "-it", &pod, "--", "sh"]);
    person.types("echo ready-$((40+2))\n");
    person.sees("ready-42");
    let echoes = |terminal: &OwnedFd| tcgetattr(terminal).unwrap().local_flags.contains(LocalFlags::ECHO);
    assert!(!echoes(&person.terminal), "bytes pass unchanged while the command runs");
    person.types("exit\n");
    person.leaves();
    assert!(echoes(&person.terminal));
}

#[test]
fn without_a_terminal_the_command_gets_none_and_is_told_so() {
    let lab = Lab::new();
    let pod = lab.start_ready(SLEEPER);
    let output = lab.output(&["exec", "-it", &pod, "--", "sh", "-c", "tty; cat"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "not a tty\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard input is not one"));
    // Without -i nothing is typed, and output alone may have a terminal.
    assert_eq!(lab.ok(&["exec", "-t", &pod, "--", "tty"]), "/dev/pts/0\r\n");
}

#[test]
fn a_multiplexer_that_the_container_has_replaced_is_refused() {
    let lab = Lab::new();
    let manifest = SLEEPER.replace("runAsUser: 1234", "capabilities: {add: [SYS_ADMIN, MKNOD]}");
    let pod = lab.start_ready(&manifest);
    lab.sh(&pod, "app", "mount -t tmpfs none /dev/pts && mknod /dev/pts/ptmx c 1 3");
    let said = lab.fails(125, &["exec", "-t", &pod, "--", "tty"]);
    assert!(said.contains("/dev/pts/ptmx is not the pseudoterminal multiplexer"), "{said}");
    lab.sh(&pod, "app", "rm /dev/pts/ptmx && ln -s /proc/self/fd/0 /dev/pts/ptmx");
    let said = lab.fails(125, &["exec", "-t", &pod, "--", "tty"]);
    assert!(said.contains("open /dev/pts/ptmx: ELOOP"), "{said}");
}

#[test]
fn a_debug_container_has_the_persons_terminal_with_its_size_and_its_exit_code_passes_through() {
    let lab = Lab::new();
    let pod = lab.start_ready(SLEEPER);
    let args = ["debug", "-it", &pod, "--image", "box", "-c", "guest", "--target", "app", "--", "sh"];
    let mut person = Person::at(&lab, &args);
    person.types("tty; stty size; stat -c owner=%u /dev/console; ps -o args; echo ready-$((40+2))\n");
    person.sees("ready-42");
    for words in ["/dev/pts/0", "40 120", "owner=0", "sleep 1000"] {
        assert!(person.seen.contains(words), "{words} in {:?}", person.seen);
    }
    person.types("sleep 1000\n");
    lab.until("the job to run", seconds(10), || {
        lab.sh(&pod, "guest", "ps -o args").matches("sleep 1000").count() == 2
    });
    person.types("\u{3}");
    person.types("echo interrupted-$?\n");
    person.sees("interrupted-130");
    person.types("exit 7\n");
    assert_eq!(person.leaves(), Some(7));
    let object = lab.inspect(&pod);
    assert_eq!(object["spec"]["ephemeralContainers"][0]["tty"], true);
    assert_eq!(object["status"]["ephemeralContainerStatuses"][0]["state"]["terminated"]["exitCode"], 7);
}

#[test]
fn a_debug_container_whose_caller_is_killed_hears_that_its_terminal_has_gone() {
    let lab = Lab::new();
    let pod = lab.start_ready(SLEEPER);
    let mut person = Person::at(&lab, &["debug", "-it", &pod, "--image", "box", "--", "sh"]);
    person.types("echo ready-$((40+2))\n");
    person.sees("ready-42");
    kill(person.child.id() as i32);
    lab.until("the shell to end", seconds(10), || {
        !lab.inspect(&pod)["status"]["ephemeralContainerStatuses"][0]["state"]["terminated"].is_null()
    });
    assert_eq!(person.leaves(), None);
}

#[test]
fn without_a_terminal_a_debug_container_gets_none_and_is_told_so() {
    let lab = Lab::new();
    let pod = lab.start_ready(SLEEPER);
    let output = lab.output(&["debug", "-it", &pod, "--image", "box", "--", "sh", "-c", "tty; cat"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "not a tty\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard input is not one"));
    assert_eq!(lab.ok(&["debug", "-t", &pod, "--image", "box", "--", "tty"]), "/dev/pts/0\r\n");
}

#[test]
fn a_container_with_tty_has_a_terminal_of_its_own_whose_output_is_its_log() {
    let lab = Lab::new();
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: term}\nspec:\n  restartPolicy: Never\n  containers:\n  - \
                    {name: app, image: box, tty: true, securityContext: {runAsUser: 1234}, command: [sh, -c, 'tty; \
                    stat -c owner=%u /dev/pts/0 /dev/console; echo err >&2; echo hello >/dev/tty; seq 1 20000']}\n";
    let pod = lab.start(manifest);
    assert_eq!(lab.wait_ended(&pod, 20), "Succeeded");
    let log = lab.ok(&["logs", &pod]);
    let mut lines = log.split("\r\n");
    let first: Vec<&str> = lines.by_ref().take(5).collect();
    assert_eq!(first, ["/dev/pts/0", "owner=1234", "owner=1234", "err", "hello"]);
    let numbers: Vec<String> = (1..=20000).map(|number| number.to_string()).collect();
    assert!(lines.filter(|line| !line.is_empty()).eq(numbers), "nothing of the output is lost");
    assert_eq!(lab.inspect(&pod)["spec"]["containers"][0]["tty"], true);
}

#[test]
fn what_a_terminal_still_holds_when_its_container_has_ended_is_in_the_log() {
    let lab = Lab::new();
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: term}\nspec:\n  restartPolicy: Never\n  containers:\n  - \
                    {name: app, image: box, tty: true, command: [sh, -c, 'trap \"seq 1 2000; exit\" TERM; sleep 600 & wait']}\n";
    let pod = lab.start_ready(manifest);
    let app = lab.record(&pod)["instances"][0]["process"]["pid"].as_i64().unwrap() as i32;
    // Until the pod init is awake again nobody reads, and a terminal holds some 12 KB.
    let init = lab.init_pid(&pod);
    lab.until("its trap", seconds(5), || {
        std::fs::read_to_string(format!("/proc/{app}/task/{app}/children")).is_ok_and(|pids| !pids.is_empty())
    });
    signal(init, Signal::SIGSTOP);
    lab.until("the pod init to stop", seconds(2), || state(init).is_some_and(|(letter, _)| letter == 'T'));
    signal(app, Signal::SIGTERM);
    lab.until("its end", seconds(5), || has_ended(app));
    signal(init, Signal::SIGCONT);
    lab.wait_ended(&pod, 10);
    let numbers: Vec<String> = (1..=2000).map(|number| number.to_string()).collect();
    let log = lab.ok(&["logs", &pod]);
    assert!(log.split_terminator("\r\n").eq(numbers), "{} bytes of 10893", log.len());
}

#[test]
fn a_container_with_tty_is_restarted_and_stopped_like_any_other() {
    let lab = Lab::new();
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: term}}\nspec:\n  containers:\n  - {{name: app, image: box, tty: \
         true, command: [sh, -c, \"tty; {UNTIL_TERM}\"]}}\n"
    );
    let pod = lab.start_ready(&manifest);
    lab.ok(&["kill", &pod, "-c", "app", "-s", "KILL"]);
    lab.until("a restart", seconds(10), || lab.restarts(&pod, "app") == 1);
    lab.until("its terminal", seconds(10), || lab.ok(&["logs", &pod]) == "/dev/pts/0\r\n");
    lab.ok(&["stop", &pod]);
    assert_eq!(lab.phase(&pod), "Succeeded");
}

#[test]
fn a_terminal_needs_a_devpts_and_its_lack_is_named_with_the_step() {
    let lab = Lab::new();
    let bundle = lab.dir.join("bare");
    own_bundle(&bundle);
    let mut config = config();
    config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev/pts");
    std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: term}}\nspec:\n  restartPolicy: Never\n  containers:\n  - {{name: \
         app, image: {}, tty: true, command: [tty]}}\n",
        bundle.display()
    );
    let pod = lab.start(&manifest);
    assert_eq!(lab.wait_ended(&pod, 20), "Failed");
    let told = lab.ok(&["events", &pod]);
    assert!(told.contains("make a terminal: open /dev/pts/ptmx: ENOENT"), "{told}");
}
