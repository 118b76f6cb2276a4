//! `barepod exec -t`, seen from a terminal.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};
use std::time::Duration;

use barepod::kernel::process::readable;
use nix::pty::{Winsize, openpty};
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
