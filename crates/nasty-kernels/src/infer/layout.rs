//! Where values lie: buffers are reused as soon as nothing reads them any more.

use std::ops::Range;

/// Elements of a cache line; values begin on one.
const LINE: usize = 16;

/// When a value exists: from the step that writes it to the last one that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// Elements.
    pub(super) len: usize,
    pub(super) first: usize,
    pub(super) last: usize,
}

/// Offsets of the values, and the length of the buffer that holds them. Values that exist at the same step do not overlap.
pub(super) fn place(lives: &[Life]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    // The largest first: the others fit into what it leaves.
    order.sort_by_key(|&i| (std::cmp::Reverse(lives[i].len), i));
    let mut offsets = vec![0; lives.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut end = 0;
    for i in order {
        let life = lives[i];
        let mut taken: Vec<Range<usize>> = placed
            .iter()
            .filter(|&&j| lives[j].first <= life.last && life.first <= lives[j].last)
            .map(|&j| offsets[j]..offsets[j] + lives[j].len)
            .collect();
        taken.sort_by_key(|range| range.start);
        let mut at = 0;
        for range in taken {
            if at + life.len <= range.start {
                break;
            }
            at = at.max(range.end.next_multiple_of(LINE));
        }
        offsets[i] = at;
        end = end.max(at + life.len);
        placed.push(i);
    }
    (offsets, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chain_takes_two_buffers() {
        let lives: Vec<Life> = (0..10).map(|i| Life { len: 64, first: i, last: i + 1 }).collect();
        assert_eq!(place(&lives).1, 2 * 64);
    }

    proptest! {
        #[test]
        fn values_alive_at_the_same_step_do_not_overlap(
            lives in prop::collection::vec((1usize..200, 0usize..20, 0usize..5), 1..40)
        ) {
            let lives: Vec<Life> =
                lives.into_iter().map(|(len, first, more)| Life { len, first, last: first + more }).collect();
            let (offsets, end) = place(&lives);
            for (i, a) in lives.iter().enumerate() {
                prop_assert!(offsets[i] % LINE == 0 && offsets[i] + a.len <= end);
                for (j, b) in lives.iter().enumerate().skip(i + 1) {
                    let together = a.first <= b.last && b.first <= a.last;
                    let apart = offsets[i] + a.len <= offsets[j] || offsets[j] + b.len <= offsets[i];
                    prop_assert!(!together || apart, "{i} and {j}");
                }
            }
        }
    }
}
