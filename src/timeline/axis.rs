//! Where on the paper a moment stands.
//!
//! A pod starts in some 50 ms, runs for hours and ends in a second. On one linear axis everything worth seeing would lie on
//! two points, so the axis is cut into a few pieces, each linear with a scale of its own, and one in which nothing happens
//! is drawn short, whatever its length. It is cut where that lets the most be seen; what is evenly spread stays in one
//! piece, so that the growing delays of a crash loop look as they are.

use std::time::Duration;

use crate::lifecycle::model::Time;

/// The pieces, from the left to the right.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// At least one.
    pub pieces: Vec<Piece>,
}

/// A linear piece.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Its begin, in seconds.
    pub from: f64,
    /// Its end, in seconds; more than `from`.
    pub to: f64,
    /// Where it begins.
    pub left: f64,
    /// Where it ends.
    pub right: f64,
    /// Nothing happens in it, and it is drawn shorter than it is.
    pub quiet: bool,
}

/// A mark on the axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Where.
    pub x: f64,
    /// Its time: `20 ms`, `303.5 s`, `5 min`.
    pub label: String,
}

/// No more pieces than this: each border costs attention.
const PIECES: usize = 5;
/// The width of the axis in which visibility is judged, roughly in characters.
const NOMINAL: f64 = 56.0;
/// A piece must make this much more visible: two or three moments that would fall on one point.
const PRICE: f64 = 5.0;
/// The part of the axis that a quiet piece gets.
const QUIET: f64 = 0.19;

impl Axis {
    /// An axis of this width for these times, which are in order; the first and the last are its ends.
    pub fn new(times: &[Time], width: f64) -> Axis {
        let mut points: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
        let end = points.last().copied();
        points.dedup_by(|b, a| *b - *a < 200e-6); // what is that close is one moment
        if let (Some(last), Some(end), true) = (points.last_mut(), end, times.len() > 1) {
            *last = end;
        }
        if points.len() < 2 {
            let from = points.first().copied().unwrap_or(0.0);
            points = vec![from, from + 1.0]; // a pod that has just begun
        }
        let borders = cut(&points);
        let pieces: Vec<(usize, usize)> = borders.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let quiet: Vec<bool> = pieces.iter().map(|piece| pieces.len() > 1 && is_quiet(*piece)).collect();
        // The more happens in a piece, and the longer it is, the more room it gets; neither in proportion.
        let length = |piece: &(usize, usize)| points[piece.1] - points[piece.0];
        let shortest = pieces.iter().map(length).fold(f64::MAX, f64::min);
        let share = |piece: &(usize, usize)| {
            ((piece.1 - piece.0) as f64).sqrt() * (1.0 + (length(piece) / shortest).log10() / 2.0)
        };
        let shares: Vec<f64> =
            pieces.iter().zip(&quiet).map(|(piece, quiet)| if *quiet { 0.0 } else { share(piece) }).collect();
        let all_quiet = shares.iter().all(|share| *share == 0.0);
        let for_quiet = if all_quiet {
            1.0
        } else {
            (QUIET * quiet.iter().filter(|quiet| **quiet).count() as f64).min(0.4)
        };
        let quiets = quiet.iter().filter(|quiet| **quiet).count().max(1) as f64;
        let total: f64 = shares.iter().sum();
        let mut left = 0.0;
        let mut axis = Axis { pieces: Vec::new() };
        for ((piece, quiet), share) in pieces.iter().zip(quiet).zip(shares) {
            let part = if quiet { for_quiet / quiets } else { (1.0 - for_quiet) * share / total };
            let right = left + part * width;
            let (from, to) = (points[piece.0], points[piece.1]);
            axis.pieces.push(Piece { from, to, left, right, quiet });
            left = right;
        }
        // No rounding error at the right end.
        if let Some(last) = axis.pieces.last_mut() {
            last.right = width;
        }
        axis
    }

    /// Where a moment stands; outside of the axis: at its end.
    pub fn x(&self, at: Time) -> f64 {
        let at = at.as_secs_f64();
        let piece = self.pieces.iter().find(|piece| at <= piece.to).or(self.pieces.last());
        piece.map_or(0.0, |piece| piece.x(at).clamp(piece.left, piece.right))
    }

    /// Which moment stands there.
    pub fn time(&self, x: f64) -> Time {
        let piece = self.pieces.iter().find(|piece| x <= piece.right).or(self.pieces.last());
        let at = piece.map_or(0.0, |piece| {
            piece.from + (x - piece.left) / (piece.right - piece.left) * (piece.to - piece.from)
        });
        Duration::try_from_secs_f64(at.max(0.0)).unwrap_or(Duration::MAX)
    }

    /// Where the scale changes.
    pub fn borders(&self) -> impl Iterator<Item = f64> {
        self.pieces.iter().skip(1).map(|piece| piece.left)
    }

    /// Round times, as many as there is room for; `room`: the width of a label, its distance to the next included.
    pub fn ticks(&self, room: impl Fn(&str) -> f64) -> Vec<Tick> {
        let mut ticks: Vec<Tick> = Vec::new();
        let mut free = f64::MIN;
        for piece in self.pieces.iter().filter(|piece| !piece.quiet) {
            for tick in piece.ticks(&room) {
                // Labels are centred on their ticks.
                let half = room(&tick.label) / 2.0;
                if tick.x - half >= free {
                    free = tick.x + half;
                    ticks.push(tick);
                }
            }
        }
        ticks
    }
}

impl Piece {
    fn x(&self, at: f64) -> f64 {
        self.left + (at - self.from) / (self.to - self.from) * (self.right - self.left)
    }

    fn ticks(&self, room: &impl Fn(&str) -> f64) -> Vec<Tick> {
        let length = self.to - self.from;
        // In units of a microsecond: 1, 2, 5, 10, … up to 10 s, then what is round in minutes, hours and days.
        let decimal = (0..8).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power - 6)));
        let decimal = decimal.filter(|step| *step <= 10.0);
        let clock = [15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21600.0, 43200.0];
        let days = (0..10).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| 86400.0 * digit * 10f64.powi(power)));
        let steps = decimal.chain(clock).chain(days);
        for step in steps.filter(|step| length / step <= 200.0) {
            let first = (self.from / step - 1e-6).ceil();
            let count = ((self.to / step + 1e-6).floor() - first).max(-1.0) as usize + 1;
            if count > 200 {
                continue;
            }
            let tick = |number: usize| {
                let at = (first + number as f64) * step;
                Tick { x: self.x(at).clamp(self.left, self.right), label: label(at, step) }
            };
            let ticks: Vec<Tick> = (0..count).map(tick).collect();
            let widest = ticks.iter().map(|tick| room(&tick.label)).fold(0.0, f64::max);
            let distance = step / length * (self.right - self.left);
            if distance >= widest || (count <= 1 && self.right - self.left >= widest) {
                return ticks;
            }
        }
        Vec::new()
    }
}

/// A round time.
fn label(at: f64, step: f64) -> String {
    if at.abs() < 1e-9 {
        return "0".to_owned();
    }
    let decimals =
        |step: f64| (0..6).find(|digits| (step * 10f64.powi(*digits) + 1e-6).fract() < 1e-3).unwrap_or(6);
    if at < 1.0 - 1e-9 {
        let digits = decimals(step * 1e3) as usize;
        format!("{:.digits$} ms", at * 1e3)
    } else if step < 60.0 {
        let digits = decimals(step) as usize;
        format!("{at:.digits$} s")
    } else if step < 3600.0 {
        format!("{:.0} min", at / 60.0)
    } else if step < 86400.0 {
        format!("{:.0} h", at / 3600.0)
    } else {
        format!("{:.0} d", at / 86400.0)
    }
}

fn is_quiet((from, to): (usize, usize)) -> bool {
    to - from == 1
}

/// Where to cut: indexes of `points`, the first and the last included. The price of a piece is compared with what it makes
/// visible; all ways to cut at the 30 places where the distance of two moments changes most are tried.
fn cut(points: &[f64]) -> Vec<usize> {
    let gaps: Vec<f64> = points.windows(2).map(|pair| (pair[1] - pair[0]).max(1e-6)).collect();
    let last = gaps.len();
    let mut places: Vec<(f64, usize)> =
        (1..last).map(|place| ((gaps[place] / gaps[place - 1]).ln().abs(), place)).collect();
    places.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut borders: Vec<usize> = places.iter().take(30).map(|(_, place)| *place).chain([0, last]).collect();
    borders.sort();

    let cost = |from: usize, to: usize| invisible(&gaps[borders[from]..borders[to]], last) + PRICE;
    let costs: Vec<Vec<f64>> =
        (0..borders.len()).map(|to| (0..to).map(|from| cost(from, to)).collect()).collect();
    // best[n][b]: the least cost of everything left of border b in n pieces, and where the last of these begins.
    let mut best = vec![vec![(f64::MAX, 0); borders.len()]; PIECES + 1];
    best[0][0] = (0.0, 0);
    for pieces in 1..=PIECES {
        for to in 1..borders.len() {
            for from in 0..to {
                let (before, _) = best[pieces - 1][from];
                if before < f64::MAX {
                    let cost = before + costs[to][from];
                    if cost < best[pieces][to].0 {
                        best[pieces][to] = (cost, from);
                    }
                }
            }
        }
    }
    let end = borders.len() - 1;
    let mut pieces = (1..=PIECES).min_by(|a, b| best[*a][end].0.total_cmp(&best[*b][end].0)).unwrap_or(1);
    let mut cuts = vec![last];
    let mut at = end;
    while pieces > 0 {
        at = best[pieces][at].1;
        cuts.push(borders[at]);
        pieces -= 1;
    }
    cuts.reverse();
    cuts
}

/// How much of a piece cannot be seen: a distance that is narrower than a character counts, the more the narrower.
fn invisible(gaps: &[f64], all: usize) -> f64 {
    if gaps.len() == 1 && all > 1 {
        return 0.0; // drawn short, and its length is written on it
    }
    let length: f64 = gaps.iter().sum();
    let width = NOMINAL * (gaps.len() as f64 / all as f64).sqrt();
    let seen: f64 = gaps.iter().map(|gap| (length / (width * gap)).ln().clamp(0.0, 3.0)).sum();
    // Nothing but one long distance: better cut where that is the whole piece.
    let longest = gaps.iter().copied().fold(0.0, f64::max);
    if longest > 0.9 * length && gaps.len() > 1 { seen + 2.0 } else { seen }
}
