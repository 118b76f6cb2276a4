//! Golden pictures of pods on a virtual clock, and what holds in every picture.

use std::time::Duration;

use super::*;
use crate::history::Log;
use crate::lifecycle::RestartPolicy::*;
use crate::lifecycle::fact::{Entry, FORMAT, Fact, Head, HeadContainer, Note};
use crate::lifecycle::model::{Action, Kind, Probe};
use crate::lifecycle::sim::*;

/// The log that barepod would have written of this pod.
pub(crate) fn log(sim: &Sim) -> Log {
    let spec = sim.pod.spec();
    let head = Head {
        barepod: FORMAT,
        name: "shop".to_owned(),
        namespace: "default".to_owned(),
        uid: "u".to_owned(),
        started_micros: 1_700_000_000_000_000,
        grace_seconds: spec.grace.as_secs(),
        containers: spec
            .containers
            .iter()
            .map(|container| HeadContainer {
                name: container.name.clone(),
                kind: container.kind,
                post_start: container.post_start.is_some(),
                pre_stop: container.pre_stop.is_some(),
                startup: container.startup.is_some(),
                readiness: container.readiness.is_some(),
            })
            .collect(),
    };
    let of_pod = |at, fact| Entry { at, container: None, attempt: None, fact };
    let of = |at, instance: &crate::lifecycle::Instance, fact| Entry {
        at,
        container: Some(spec.containers[instance.container].name.clone()),
        attempt: Some(instance.attempt),
        fact,
    };
    let mut entries = vec![of_pod(Duration::ZERO, Fact::Begun { init: 4711 })];
    for (at, action) in &sim.log {
        match action {
            Action::Note(Note { about: None, fact }) => entries.push(of_pod(*at, fact.clone())),
            Action::Note(Note { about: Some(instance), fact }) => {
                entries.push(of(*at, instance, fact.clone()))
            }
            // What the shell tells of its own work.
            Action::Terminate(instance) => {
                entries.push(of(*at, instance, Fact::Signal { number: 15, asked: false }))
            }
            Action::Kill(instance) => {
                entries.push(of(*at, instance, Fact::Signal { number: 9, asked: false }))
            }
            _ => {}
        }
    }
    Log { head, entries, unread: Vec::new() }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A program that takes 4 ms to be made, and runs until it is told to end.
fn serves() -> Run {
    Run { latency: ms(4), ..run().d(100_000) }
}

/// One that ends by itself.
fn takes(millis: u64) -> Run {
    Run { latency: ms(4), duration: ms(millis), ..run() }
}

/// Pods whose pictures are kept.
fn pods() -> Vec<(&'static str, Log, Option<Duration>)> {
    let mut pods = Vec::new();

    let shop = [
        init("migrate", takes(1_800)),
        sidecar("proxy", serves().t(1)).post_start(2).pre_stop(1).readiness(Answer::Ok, probe(0, 5, 3)),
        app("web", serves().t(2)).post_start(1).pre_stop(3).readiness(Answer::From(s(3)), probe(0, 1, 3)),
    ];
    let mut sim = pod_with(Always, 10, None, &shop);
    sim.stop_at(s(14), s(10));
    sim.run_to_end();
    pods.push(("hooks", log(&sim), None));

    let mut sim = pod_with(Always, 10, None, &shop);
    sim.stop_at(s(312), s(10));
    sim.run_to_end();
    pods.push(("long-run", log(&sim), None));

    let mut sim = pod(Always, &[sidecar("proxy", serves()), app("crash", takes(300).e(1))]);
    sim.stop_at(s(170), s(30));
    sim.run_to_end();
    pods.push(("crash-loop", log(&sim), None));

    let mut sim =
        pod(OnFailure, &[init("migrate", takes(700).e(1)).then(takes(900)), app("web", takes(3_000))]);
    sim.run_to_end();
    pods.push(("failing-init", log(&sim), None));

    let mut sim = pod(
        Never,
        &[sidecar("proxy", serves().t(1)), init("migrate", takes(700).e(2)), app("web", serves())],
    );
    sim.run_to_end();
    pods.push(("failed-init", log(&sim), None));

    let mut stubborn = app("web", serves().ignores_term()).pre_stop(0);
    stubborn.pre_stop = HookScript(None, true);
    let mut sim = pod_with(Always, 5, None, &[sidecar("proxy", serves().t(1)), stubborn]);
    sim.stop_at(s(6), s(5));
    sim.run_to_end();
    pods.push(("sigkill", log(&sim), None));

    let liveness = Probe { grace: Some(s(3)), ..probe(2, 2, 3) };
    let sick = app("web", serves().t(2)).liveness(Answer::Until(s(9)), liveness);
    let mut sim = pod(Always, &[sick, app("metrics", serves())]);
    sim.stop_at(s(60), s(30));
    sim.run_to_end();
    pods.push(("liveness", log(&sim), None));

    let mut sim = pod_with(Always, 5, Some(20), &[init("fetch", takes(6_000)), app("job", serves().t(2))]);
    sim.run_to_end();
    pods.push(("deadline", log(&sim), None));

    let mut sim = pod_with(Always, 10, None, &shop);
    sim.run_until(s(9));
    pods.push(("lost", log(&sim), None));
    pods.push(("running", log(&sim), Some(s(9))));

    let mut sim = pod_with(Always, 10, None, &shop);
    sim.run_until(ms(2_900));
    pods.push(("starting", log(&sim), Some(ms(2_900))));
    let kinds = pods[0].1.head.containers.iter().map(|container| container.kind);
    assert!(kinds.eq([Kind::Init, Kind::Sidecar, Kind::App]));
    pods
}

/// Environment variable: write the golden files instead of comparing with them.
const UPDATE: &str = "BAREPOD_UPDATE_GOLDEN";

#[test]
fn pictures_are_those_that_were_looked_at() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/timeline/golden");
    let update = std::env::var_os(UPDATE).is_some_and(|value| value == "1");
    for (name, log, now) in pods() {
        let timeline = Timeline::new(&log, now);
        for (extension, picture) in
            [("txt", text::render(&timeline, 80, None)), ("svg", svg::render(&timeline, true))]
        {
            let path = directory.join(name).with_extension(extension);
            if update {
                std::fs::write(&path, picture).unwrap();
                continue;
            }
            let golden = std::fs::read_to_string(&path).unwrap_or_default();
            let different = golden.lines().zip(picture.lines()).find(|(golden, picture)| golden != picture);
            assert!(
                golden == picture,
                "{}: {different:?}; look at the new picture, made by\n{UPDATE}=1 cargo test --lib pictures",
                path.display()
            );
        }
    }
}

/// A text of an SVG file: left, right, top, bottom, and what it says.
type Text = (f64, f64, f64, f64, String);

/// The texts of a picture, and the width and height of its page. Reads what was written, not what was meant.
fn texts(svg: &str) -> (Vec<Text>, f64, f64) {
    let attribute = |tag: &str, name: &str| -> Option<String> {
        let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
        Some(tag[start..start + tag[start..].find('"')?].to_owned())
    };
    let number = |tag: &str, name: &str| attribute(tag, name).unwrap().parse::<f64>().unwrap();
    let page = &svg[..svg.find('>').unwrap()];
    let mut found = Vec::new();
    for part in svg.split("<text").skip(1) {
        let (tag, rest) = part.split_once('>').unwrap();
        let text = rest.split_once("</text>").unwrap().0;
        let text =
            text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
        let (x, y, size) = (number(tag, "x"), number(tag, "y"), number(tag, "font-size"));
        // Of the fonts asked for none is wider than this.
        let width: f64 = text.chars().map(|c| if c.is_ascii() { 0.605 * size } else { size }).sum();
        let left = match attribute(tag, "text-anchor").as_deref() {
            Some("middle") => x - width / 2.0,
            Some("end") => x - width,
            _ => x,
        };
        found.push((left, left + width, y - 0.76 * size, y + 0.2 * size, text));
    }
    (found, number(page, "width"), number(page, "height"))
}

/// No text stands on another or beyond the page, and every tag is closed.
fn assert_tidy(svg: &str) {
    let (texts, width, height) = texts(svg);
    for (index, one) in texts.iter().enumerate() {
        assert!(one.0 >= 0.0 && one.1 <= width && one.2 >= 0.0 && one.3 <= height, "off the page: {one:?}");
        for other in &texts[index + 1..] {
            let apart = one.1 <= other.0 || other.1 <= one.0 || one.3 <= other.2 || other.3 <= one.2;
            assert!(apart, "{one:?} and {other:?} overlap");
        }
    }
    let mut open: Vec<&str> = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag has an end");
        assert!(!text.contains('>'), "{text}");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty() && !svg.contains("NaN") && !svg.contains("inf\""), "{open:?}");
}

/// All lines fit, and the names of all containers are there.
fn assert_fits(timeline: &Timeline, text: &str, width: usize) {
    for line in text.lines().skip(1) {
        assert!(line.chars().count() <= width, "{} > {width}: {line}", line.chars().count());
        assert!(!line.ends_with(' '), "{line:?}");
    }
    for row in timeline.rows.iter().filter(|row| row.name.len() < 10) {
        assert!(text.lines().any(|line| line.starts_with(&format!("{} ", row.name))), "{}\n{text}", row.name);
    }
}

#[test]
fn no_text_hides_another_in_any_golden_picture() {
    for (_, log, now) in pods() {
        assert_tidy(&svg::render(&Timeline::new(&log, now), true));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_life_of_any_pod_can_be_drawn(
        number in proptest::num::u64::ANY,
        stop in 0u64..=200,
        seen in 0u64..=300,
        slower in proptest::sample::select(vec![1u32, 7, 3600]),
        width in 60usize..150,
    ) {
        let Schedule { spec, ctrs, .. } = Schedule::number(number);
        let mut sim = Sim::new(spec, &ctrs);
        sim.stop_at(s(stop) / 2, s(10));
        sim.run_until(s(seen) / 2);
        let mut log = log(&sim);
        // Starts that take milliseconds, and lives that take hours.
        for (number, entry) in log.entries.iter_mut().enumerate() {
            entry.at = entry.at * slower + Duration::from_micros(700 * number as u64);
        }
        let last = log.entries.last().unwrap().at;
        for now in [None, Some(last), Some(last + s(40))] {
            let timeline = Timeline::new(&log, now);
            assert_fits(&timeline, &text::render(&timeline, width, None), width);
            let short = text::render(&timeline, width, Some(24));
            proptest::prop_assert!(short.lines().count() <= 24.max(short.find("\n\n").map_or(0, |at| short[..at].lines().count()) + 12));
            assert_tidy(&svg::render(&timeline, true));
            assert_tidy(&svg::render(&timeline, false));
            proptest::prop_assert!(html::render(&timeline).contains("</html>"));
        }
    }
}

#[test]
fn a_pod_that_never_started_says_so_and_why() {
    let mut log = pods().remove(0).1;
    let trouble =
        Fact::Trouble { reason: "FailedCreatePodSandBox".to_owned(), message: "mount: EPERM".to_owned() };
    log.entries = vec![Entry { at: ms(3), container: None, attempt: None, fact: trouble }];
    let timeline = Timeline::new(&log, None);
    let picture = text::render(&timeline, 80, None);
    assert!(picture.starts_with("pod shop: never started"), "{picture}");
    assert!(picture.contains("mount: EPERM"), "{picture}");
    assert!(!picture.contains("migrate"), "{picture}");
    assert_tidy(&svg::render(&timeline, true));
    log.entries.clear();
    assert_eq!(text::render(&Timeline::new(&log, None), 80, None).lines().count(), 1);
}

#[test]
fn what_a_log_says_cannot_leave_its_place_in_the_picture() {
    let mut log = pods().remove(0).1;
    log.head.containers[2].name = "</text><script>&\"\u{1b}[2J 面面面面面面面面面面面面面面面面".to_owned();
    let name = log.head.containers[2].name.clone();
    for entry in log.entries.iter_mut().filter(|entry| entry.container.as_deref() == Some("web")) {
        entry.container = Some(name.clone());
    }
    let words = format!("{} {}", "x".repeat(500), "面".repeat(300));
    let probe = crate::lifecycle::ProbeKind::Liveness;
    let result = crate::lifecycle::ProbeResult::Failure;
    let fact = Fact::Probe { probe, result, words, code: None, took: Duration::ZERO };
    log.entries.insert(9, Entry { at: s(4), container: Some(name), attempt: Some(0), fact });
    let timeline = Timeline::new(&log, None);
    assert_tidy(&svg::render(&timeline, true));
    assert!(!html::render(&timeline).contains("<script>"));
    let text = text::render(&timeline, 80, None);
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_damaged_log_is_drawn_as_far_as_it_goes() {
    let (_, whole, _) = pods().remove(0);
    for cut in 0..whole.entries.len() {
        let mut log = whole.clone();
        log.entries.truncate(cut);
        let timeline = Timeline::new(&log, None);
        assert_tidy(&svg::render(&timeline, true));
        // One entry is missing, or stands in the wrong place.
        let mut log = whole.clone();
        let entry = log.entries.remove(cut);
        assert_tidy(&svg::render(&Timeline::new(&log, None), true));
        log.entries.insert(0, entry);
        log.entries[0].at = Duration::MAX;
        let timeline = Timeline::new(&log, None);
        assert_tidy(&svg::render(&timeline, true));
        text::render(&timeline, 80, None);
    }
}

#[test]
fn a_start_of_milliseconds_can_be_read_beside_a_life_of_hours() {
    let ctrs = [init("a", takes(5)), sidecar("b", serves()), app("c", serves())];
    let mut sim = pod(Always, &ctrs);
    sim.stop_at(s(7_200), s(30));
    sim.run_to_end();
    let timeline = Timeline::new(&log(&sim), None);
    let axis = axis::Axis::new(&timeline.times(), 56.0);
    assert!(axis.pieces.iter().any(|piece| piece.quiet), "{axis:?}");
    // The three starts, 4 ms each, are more than a character apart.
    assert!(axis.x(ms(9)) - axis.x(ms(4)) > 3.0 && axis.x(ms(17)) - axis.x(ms(13)) > 3.0, "{axis:?}");
    let text = text::render(&timeline, 80, None);
    assert!(text.contains("╌╌ 2 h ╌") && text.contains("the scale of the axis changes"), "{text}");
}

#[test]
fn the_delays_of_a_crash_loop_lie_on_one_scale() {
    let (_, log, _) = pods().into_iter().find(|(name, ..)| *name == "crash-loop").unwrap();
    let timeline = Timeline::new(&log, None);
    let axis = axis::Axis::new(&timeline.times(), 1000.0);
    let held = |span: &&model::Span| span.state == model::State::BackOff;
    let widths: Vec<f64> =
        timeline.rows[1].spans.iter().filter(held).map(|span| axis.x(span.to) - axis.x(span.from)).collect();
    // 10 s, 20 s, 40 s, 80 s, and one that the end of the pod cuts short.
    assert_eq!(widths.len(), 5);
    widths[..4].windows(2).for_each(|pair| assert!((pair[1] / pair[0] - 2.0).abs() < 0.01, "{widths:?}"));
}

#[test]
fn the_grace_budget_burns_down_in_the_bar() {
    let (_, log, _) = pods().into_iter().find(|(name, ..)| *name == "sigkill").unwrap();
    let timeline = Timeline::new(&log, None);
    let budget = timeline.rows[1].budgets[0];
    assert_eq!((budget.from, budget.until, budget.to), (s(6), s(11), s(13)));
    assert_eq!([6, 7, 11, 13].map(|at| (budget.left(s(at)) * 10.0).round()), [10.0, 8.0, 0.0, 0.0]);
    let text = text::render(&timeline, 80, None);
    let bar = text.lines().find(|line| line.starts_with("web ")).unwrap();
    let digits: String = bar.chars().filter(char::is_ascii_digit).collect();
    assert!(digits.starts_with('9') && digits.ends_with("000137"), "{bar}");
    let signals = text.lines().skip_while(|line| !line.starts_with("web ")).nth(1).unwrap();
    assert!(signals.contains("[preStop") && signals.find('T') < signals.find('K'), "{signals}");
}

#[test]
fn a_shortened_grace_is_seen_to_drop() {
    let mut sim = pod(Always, &[app("web", serves().ignores_term())]);
    sim.stop_at(s(10), s(30));
    sim.stop_at(s(15), s(5));
    sim.run_to_end();
    let timeline = Timeline::new(&log(&sim), None);
    let budgets = &timeline.rows[0].budgets;
    assert_eq!(budgets.len(), 2);
    assert!(budgets[0].left(s(15)) > 0.8 && budgets[1].left(s(15)) < 0.2, "{budgets:?}");
    assert!(text::render(&timeline, 80, None).contains("is terminated; 5.000 s of grace"));
}

#[test]
fn a_probe_that_has_failed_all_day_makes_a_small_picture() {
    let mut sim = pod(Always, &[app("web", serves()).readiness(Answer::Fail, probe(0, 1, 3))]);
    sim.run_until(s(86_400));
    let log = log(&sim);
    assert!(log.entries.len() > 80_000);
    let timeline = Timeline::new(&log, Some(s(86_400)));
    let svg = svg::render(&timeline, true);
    assert!(svg.len() < 200_000, "{}", svg.len());
    assert_tidy(&svg);
    let text = text::render(&timeline, 80, None);
    assert!(text.lines().count() < 30 && text.contains("86400 times"), "{text}");
}

#[test]
fn a_restart_at_once_has_waited_for_nobody_even_if_the_log_is_some_microseconds_late() {
    let (_, mut log, _) = pods().into_iter().find(|(name, ..)| *name == "crash-loop").unwrap();
    for (number, entry) in log.entries.iter_mut().enumerate() {
        entry.at += Duration::from_micros(90 * number as u64);
    }
    let timeline = Timeline::new(&log, None);
    assert_eq!(timeline.rows[1].gates.len(), 1);
    let gates = timeline.moments.iter().filter(|moment| moment.what.contains("now that"));
    assert_eq!(
        gates.map(|moment| moment.what.as_str()).collect::<Vec<_>>(),
        ["is being started (app container), now that sidecar proxy is up"]
    );
}

#[test]
fn when_all_containers_are_restarted_they_wait_again() {
    let rule = crate::lifecycle::RuleAction::RestartAllContainers;
    let web = app("web", takes(2_000).e(42)).then(serves()).rule(rule, true, &[42]);
    let mut sim = pod(Always, &[init("migrate", takes(3_000)), web, app("other", serves())]);
    sim.run_until(s(12));
    let timeline = Timeline::new(&log(&sim), Some(sim.now));
    let waits = |row: &model::Row| {
        let spans = row.spans.iter().filter(|span| span.state == model::State::Waiting);
        spans.map(|span| (span.to - span.from).as_secs()).collect::<Vec<_>>()
    };
    assert_eq!(timeline.rows.iter().map(waits).collect::<Vec<_>>(), [vec![], vec![3, 3], vec![3, 3]]);
    assert_eq!(timeline.rows.iter().map(|row| row.gates.len()).collect::<Vec<_>>(), [0, 2, 2]);
    let again = "is being started (app container, restart 1), now that init container migrate is done";
    assert!(timeline.moments.iter().any(|moment| moment.what == again), "{:?}", timeline.moments);
}
