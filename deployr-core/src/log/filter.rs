//! Says quickly where no secret begins.

/// Every text that is searched for has so many bytes at least.
pub(super) const GRAM: usize = 4;

/// A set of groups of four bytes, kept as a Bloom filter of which one probe looks at
/// one word. It may say yes to a group that is not in it (one in some thousands), and
/// never no to one that is. Most of a log is passed over at its speed, which is several
/// times that of the automaton.
pub(super) struct Filter {
    words: Vec<u64>,
    mask: usize,
}

impl Filter {
    /// The filter for texts that begin like one of `heads`.
    pub(super) fn new<'a>(heads: impl ExactSizeIterator<Item = &'a [u8]>) -> Self {
        let size = (heads.len() * 2).next_power_of_two();
        let mut filter = Self {
            words: vec![0; size],
            mask: size - 1,
        };
        for head in heads {
            let gram = head
                .iter()
                .take(GRAM)
                .fold(0, |gram, byte| push(gram, *byte));
            let (word, bits) = filter.place(gram);
            filter.words[word] |= bits;
        }
        filter
    }

    /// Whether a head may begin with these four bytes.
    #[inline]
    pub(super) fn may_begin(&self, gram: u32) -> bool {
        let (word, bits) = self.place(gram);
        self.words[word] & bits == bits
    }

    #[inline]
    fn place(&self, gram: u32) -> (usize, u64) {
        let hash = u64::from(gram).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bits = 1 << (hash >> 58) | 1 << (hash >> 52 & 63);
        ((hash >> 20) as usize & self.mask, bits)
    }
}

/// The last four bytes, once `byte` has come.
#[inline]
pub(super) fn push(gram: u32, byte: u8) -> u32 {
    gram << 8 | u32::from(byte)
}
