//! Fingerprints that do not depend on how often something was drawn, written or waited for.
//!
//! Two worlds that differ only in the numbers of their uids, run ids, replication ids, versions, terms, sequence numbers
//! and clocks behave alike. Values of the core (records, steps, memories) are read through their `Debug` text, so that a
//! field which is added there cannot be forgotten here.

use std::fmt::Debug;
use std::sync::Arc;

/// The seq of every record at the beginning: a number of this size is a seq wherever it stands.
pub const SEQ: u64 = 1_000_000_000;
/// The same for terms.
pub const TERM: u64 = 3_000_000_000;

/// Ages, in microseconds, that are told apart. The short tick is 3.1 s: each of the first three has its own, whether it is
/// counted exactly or in whole seconds less one; from 10 s on only the long tick makes a difference.
const AGES: [u64; 5] = [1, 4_000_000, 7_000_000, 10_000_000, 100_000_000];

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Raw(u64),
    Name(u8, u32),
    Seq(u64),
    Term(u64),
    Moment(u64),
}

/// A value of the core with its text, read once and shared by all worlds that hold it.
#[derive(Debug)]
pub struct Doc<T> {
    /// The value.
    pub value: T,
    /// A hash of its text as it is.
    pub hash: u64,
    tokens: Box<[Token]>,
}

impl<T: Debug> Doc<T> {
    /// Reads the value's text.
    pub fn new(value: T) -> Arc<Self> {
        let text = format!("{value:?}");
        let mut canon = Canon::new(0);
        text.as_bytes().chunks(8).for_each(|chunk| {
            let word = chunk.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
            canon.word(word);
        });
        let (tokens, hash) = (tokens(&text).into(), canon.finish());
        Arc::new(Self { value, hash, tokens })
    }
}

/// A name as it stands in a text: a letter for its kind, and its number.
pub fn name(kind: char, n: u16) -> String {
    format!("{kind}{n}")
}

/// The number in a name that [`name`] made.
pub fn number(name: &str) -> u16 {
    name.get(1..).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let (mut out, mut raw, mut at) = (vec![], 0u64, 0usize);
    let mut moment = false;
    while at < bytes.len() {
        let start = at;
        let token = match bytes[at] {
            b'"' => {
                at += 1 + bytes[at + 1..].iter().take_while(|b| **b != b'"').count() + 1;
                quoted(&text[start + 1..at - 1])
            }
            b'0'..=b'9' => {
                at += bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
                let n: u64 = text[start..at].parse().unwrap_or(u64::MAX);
                match n {
                    n if moment => Token::Moment(n),
                    n if (TERM..TERM + SEQ).contains(&n) => Token::Term(n),
                    n if (SEQ..2 * SEQ).contains(&n) => Token::Seq(n),
                    n => Token::Raw(n),
                }
            }
            b => {
                at += 1;
                raw = mix(raw, u64::from(b));
                moment = text[..at].ends_with("Moment(");
                continue;
            }
        };
        moment = false;
        out.push(Token::Raw(raw));
        out.push(token);
        raw = 0;
    }
    out.push(Token::Raw(raw));
    out
}

fn quoted(text: &str) -> Token {
    let bare = text.strip_prefix("r-").unwrap_or(text);
    let (kind, digits) = bare.split_at_checked(1).unwrap_or(("", ""));
    match digits.parse() {
        Ok(n) if kind.bytes().all(|b| b.is_ascii_lowercase()) => {
            let mark = if bare.len() == text.len() { 0 } else { 128 };
            Token::Name(kind.as_bytes()[0] | mark, n)
        }
        _ => Token::Raw(text.bytes().fold(7, |hash, b| mix(hash, u64::from(b)))),
    }
}

fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    hash ^ (hash >> 29)
}

/// A fingerprint in the making.
#[derive(Debug)]
pub struct Canon {
    hash: u64,
    names: Vec<(u8, u32)>,
    now: u64,
    /// What seqs and terms are compared with: that of the stored record, and that of the copy at hand.
    pub seqs: [u64; 2],
    /// The same for terms.
    pub terms: [u64; 2],
}

impl Canon {
    /// Nothing yet; `now` in microseconds.
    pub fn new(now: u64) -> Self {
        Self {
            hash: 0x1234_5678_9abc_def1,
            names: Vec::with_capacity(48),
            now,
            seqs: [0; 2],
            terms: [0; 2],
        }
    }

    /// A number that stands for itself.
    pub fn word(&mut self, word: u64) {
        self.hash = mix(self.hash, word);
    }

    /// A drawn name: only which others are the same counts. 0 is none.
    pub fn name(&mut self, kind: char, n: u16) {
        let kind = kind as u8;
        let index = if n == 0 { 0 } else { self.index(kind, u32::from(n)) };
        self.word(0x100 + index);
    }

    /// A set of drawn names.
    pub fn names(&mut self, kind: char, all: &[u16]) {
        let indices = all
            .iter()
            .filter(|n| **n != 0)
            .map(|n| self.find(kind as u8, u32::from(*n)));
        let sum = indices.map(|index| mix(3, index)).fold(0u64, u64::wrapping_add);
        self.word(sum);
    }

    /// How long ago.
    pub fn moment(&mut self, at: u64) {
        let age = self.now.saturating_sub(at);
        self.word(AGES.iter().filter(|limit| age >= **limit).count() as u64);
    }

    /// How long ago, if at all.
    pub fn maybe(&mut self, at: Option<u64>) {
        match at {
            None => self.word(99),
            Some(at) => self.moment(at),
        }
    }

    /// A term, as it stands to those of the records.
    pub fn term(&mut self, term: u64) {
        self.word(relative(self.terms, term));
    }

    /// A value's text.
    pub fn doc<T>(&mut self, doc: &Doc<T>) {
        for token in &doc.tokens {
            match *token {
                Token::Raw(word) => self.word(word),
                Token::Name(kind, n) => {
                    let index = self.index(kind & 127, n);
                    self.word(0x100 + index + u64::from(kind));
                }
                Token::Seq(n) => self.word(relative(self.seqs, n)),
                Token::Term(n) => self.word(relative(self.terms, n)),
                Token::Moment(at) => self.moment(at),
            }
        }
    }

    /// The fingerprint.
    pub fn finish(self) -> u64 {
        let mut hash = self.hash;
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }

    fn find(&self, kind: u8, n: u32) -> u64 {
        let at = self.names.iter().position(|it| *it == (kind, n));
        at.map_or(0, |at| at as u64 + 1)
    }

    fn index(&mut self, kind: u8, n: u32) -> u64 {
        match self.find(kind, n) {
            0 => {
                self.names.push((kind, n));
                self.names.len() as u64
            }
            found => found,
        }
    }
}

/// Seqs and terms are compared for equality with the present ones, or with the next: all others are alike.
fn relative(known: [u64; 2], n: u64) -> u64 {
    match n {
        n if n == known[0] => 1,
        n if n == known[0] + 1 => 2,
        n if n == known[1] => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(text: &'static str, now: u64) -> u64 {
        let mut canon = Canon::new(now);
        canon.seqs = [SEQ + 7, 0];
        let text = text.replace('\'', "\"");
        for token in tokens(&text) {
            let doc = Doc {
                value: (),
                hash: 0,
                tokens: [token].into(),
            };
            canon.doc(&doc);
        }
        canon.finish()
    }

    #[test]
    fn names_and_moments_count_only_as_far_as_they_are_compared() {
        let a = print("{ run: 'r4', by: 'r-u5', of: 'u5', at: Moment(7), seq: 1000000007 }", 8);
        assert_eq!(
            a,
            print("{ run: 'r9', by: 'r-u2', of: 'u2', at: Moment(1), seq: 1000000007 }", 2)
        );
        assert_ne!(
            a,
            print("{ run: 'r9', by: 'r-u2', of: 'u3', at: Moment(1), seq: 1000000007 }", 2)
        );
        assert_ne!(
            a,
            print("{ run: 'r9', by: 'r-u2', of: 'u2', at: Moment(2), seq: 1000000007 }", 2)
        );
        assert_ne!(
            a,
            print("{ run: 'r9', by: 'r-u2', of: 'u2', at: Moment(1), seq: 1000000008 }", 2)
        );
    }
}
