//! Putting labels where no other is.

/// Lines of a drawing on which labels stand; what is taken on each, as (left, right).
#[derive(Debug, Clone, Default)]
pub struct Lanes {
    taken: Vec<Vec<(f64, f64)>>,
}

impl Lanes {
    /// So many lines, all free.
    pub fn new(lanes: usize) -> Lanes {
        Lanes { taken: vec![Vec::new(); lanes] }
    }

    /// Takes this stretch on the first line on which it is free; `None` if it is free on none.
    pub fn take(&mut self, left: f64, right: f64) -> Option<usize> {
        let lane = (0..self.taken.len()).find(|lane| self.is_free(*lane, left, right))?;
        self.take_on(lane, left, right);
        Some(lane)
    }

    /// Takes this stretch of a line, free or not.
    pub fn take_on(&mut self, lane: usize, left: f64, right: f64) {
        self.taken[lane].push((left, right));
    }

    /// Nothing stands there yet.
    pub fn is_free(&self, lane: usize, left: f64, right: f64) -> bool {
        self.taken[lane].iter().all(|(from, to)| right <= *from || *to <= left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_goes_to_the_next_line_if_its_place_is_taken() {
        let mut lanes = Lanes::new(2);
        assert_eq!(lanes.take(0.0, 10.0), Some(0));
        assert_eq!(lanes.take(5.0, 8.0), Some(1));
        assert_eq!(lanes.take(7.0, 12.0), None);
        assert_eq!(lanes.take(10.0, 12.0), Some(0));
    }
}
