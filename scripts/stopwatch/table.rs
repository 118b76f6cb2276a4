//! Samples taken in turn, and the table that is made of them.

use std::time::Duration;

/// A measured thing: its name and how to take a sample of it, in milliseconds, or one of each of several kinds of work.
pub type Runner<'a> = (&'static str, Box<dyn FnMut(usize) -> Vec<f64> + 'a>);

/// The samples of one thing: its name and, for each kind of work, one list.
pub type Samples = Vec<(&'static str, Vec<Vec<f64>>)>;

/// Takes a sample of each runner per round, each round beginning with another one, so that whatever else the machine does
/// hits all of them.
pub fn interleave(rounds: usize, pause: Duration, mut runners: Vec<Runner>) -> Samples {
    let mut samples: Samples = runners.iter().map(|(name, _)| (*name, Vec::new())).collect();
    let count = runners.len();
    // Round 0 warms the caches and does not count.
    for round in 0..=rounds {
        for turn in 0..count {
            let index = (round + turn) % count;
            std::thread::sleep(pause);
            let taken = (runners[index].1)(round);
            let lists = &mut samples[index].1;
            lists.resize(taken.len(), Vec::new());
            for (list, sample) in lists.iter_mut().zip(taken).filter(|_| round > 0) {
                list.push(sample);
            }
        }
    }
    samples
}

/// The head of the table.
pub fn head() {
    println!("| work | | median ms | middle half | barepod takes × of it | to reach |");
    println!("|---|---|---:|---:|---:|---|");
}

/// Prints the rows of one kind of work; the first is barepod. `reach`: at most how many times as long as another one barepod
/// is to take.
pub fn report(work: &str, samples: &Samples, kind: usize, reach: &[(&str, f64)]) {
    let ours = &samples[0].1[kind];
    for (index, (name, lists)) in samples.iter().enumerate() {
        let times = &lists[kind];
        let [low, median, high] = quartiles(times);
        let work = if index == 0 { format!("{work} ({} rounds)", times.len()) } else { String::new() };
        let ratios: Vec<f64> = ours.iter().zip(times).map(|(ours, theirs)| ours / theirs).collect();
        let [few, ratio, many] = quartiles(&ratios);
        let ratio_text =
            if index == 0 { String::new() } else { format!("{ratio:.2} ({few:.2}–{many:.2})") };
        let reach = reach.iter().find(|(other, _)| other == name);
        let reach = reach.map_or(String::new(), |(_, most)| at_most(ratio, *most));
        println!("| {work} | {name} | {median:.2} | {low:.2}–{high:.2} | {ratio_text} | {reach} |");
    }
}

/// `≤ 0.60: yes`
pub fn at_most(value: f64, most: f64) -> String {
    format!("≤ {most:.2}: {}", if value <= most { "yes" } else { "**no**" })
}

/// A quarter of the values is below the first, half below the second, a quarter above the third.
pub fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0.25, 0.5, 0.75].map(|at| {
        let place = at * (sorted.len() - 1) as f64;
        let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        low + (high - low) * place.fract()
    })
}

/// The one in the middle.
pub fn median(values: &[f64]) -> f64 {
    quartiles(values)[1]
}
