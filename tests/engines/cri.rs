//! A client of the Container Runtime Interface: cri.py beside this file, told in lines of JSON what to ask.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::*;

pub struct Cri {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Cri {
    /// To the containerd of this host.
    pub fn connect(lab: &Lab) -> Cri {
        // Debian's Python, which has Debian's modules, whatever else is installed.
        let mut command = Command::new("/usr/bin/python3");
        command.args([
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engines/cri.py"),
            "/run/containerd/containerd.sock",
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(fs::File::create(lab.dir.join("cri.log")).unwrap());
        let mut process = command.spawn().expect("python3 is missing: run scripts/setup");
        let ask = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Cri { process, ask, answers }
    }

    /// Calls a method; its answer, or the error.
    pub fn call(&mut self, method: &str, request: &Value) -> Result<Value, String> {
        writeln!(self.ask, "{method} {request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "cri.py has ended: is python3-grpcio there? run scripts/setup");
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["answer"].take()),
        }
    }

    /// The same, and it must succeed.
    pub fn good(&mut self, method: &str, request: &Value) -> Value {
        self.call(method, request).unwrap_or_else(|error| panic!("{method} {request}: {error}"))
    }
}

impl Drop for Cri {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
