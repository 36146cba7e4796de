//! Places of matches, as evaluation reads them.

use alloc::vec::Vec;

/// For each query, the places of its matches among all candidates, nearest first, from 1, and their number.
///
/// A candidate of another class that is as far as a match stands before it: ties are broken against the query, so that
/// a collapsed embedding scores near zero. Places beyond what was asked for are left out; the number of matches counts
/// them all.
///
/// Kept as one bit for each place up to the last that is listed: of N queries with R matches each, whose places are
/// listed up to R, N R / 8 bytes.
///
/// ```
/// use nearfar_core::kernel::MatchRanks;
/// let mut ranks = MatchRanks::default();
/// ranks.push(3, [1, 70]); // a third match stands farther than asked for
/// ranks.push(0, []);
/// assert_eq!(ranks.count(), 2);
/// assert_eq!((ranks.matches(0), ranks.matches(1)), (3, 0));
/// assert_eq!(ranks.places(0).collect::<Vec<_>>(), [1, 70]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchRanks {
    matches: Vec<u32>,
    /// Where the words of each query end.
    ends: Vec<usize>,
    /// Bit b of word w of a query: place `64 w + b + 1` holds a match.
    words: Vec<u64>,
}

impl MatchRanks {
    /// Adds a query with so many matches, of which those at `places` (from 1, any order) are listed.
    pub fn push(&mut self, matches: u32, places: impl IntoIterator<Item = u32>) {
        let start = self.words.len();
        for place in places {
            let (word, bit) = ((place - 1) / 64, (place - 1) % 64);
            if self.words.len() <= start + word as usize {
                self.words.resize(start + word as usize + 1, 0);
            }
            self.words[start + word as usize] |= 1 << bit;
        }
        self.ends.push(self.words.len());
        self.matches.push(matches);
    }

    /// Adds query `query` of `other`.
    pub fn push_from(&mut self, other: &Self, query: usize) {
        self.words.extend_from_slice(other.words_of(query));
        self.ends.push(self.words.len());
        self.matches.push(other.matches[query]);
    }

    /// Number of queries.
    #[must_use]
    pub fn count(&self) -> usize {
        self.matches.len()
    }

    /// Number of matches of a query, listed or not.
    #[must_use]
    pub fn matches(&self, query: usize) -> u32 {
        self.matches[query]
    }

    /// The places of a query, increasing.
    pub fn places(&self, query: usize) -> impl Iterator<Item = u32> + Clone + '_ {
        (0..).step_by(64).zip(self.words_of(query)).flat_map(|(before, &word)| {
            let rest = |word: &u64| Some(word & (word - 1)).filter(|&word| word != 0);
            core::iter::successors(Some(word).filter(|&word| word != 0), rest)
                .map(move |word| before + word.trailing_zeros() + 1)
        })
    }

    fn words_of(&self, query: usize) -> &[u64] {
        let start = query.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.words[start..self.ends[query]]
    }
}
