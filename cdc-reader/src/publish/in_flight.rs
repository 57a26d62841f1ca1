//! What a record takes in memory while it waits for Kafka. Pure.
//!
//! librdkafka bounds its queue by the bytes of values alone. A tombstone has none, and for small rows the rest is most
//! of it: the key, each header as an allocation of its own, and the structure around them. So the reader counts by
//! itself what a record takes, and takes the same number back when the record is acknowledged.
//!
//! ```text
//! opaque word   ┌──────────────────────┬────────────────┐
//!               │ number of the event  │ header memory  │   a Ticket: librdkafka gives it back with the record
//!               │ 48 bits              │ 16 bits × 16 B │
//!               └──────────────────────┴────────────────┘
//! ```

/// librdkafka's structure of a record (`rd_kafka_msg_t`, 176 bytes), what the allocator adds, and a record's part of
/// the ledger.
const RECORD_BYTES: u64 = 224;

/// The list of a record's headers (`rd_kafka_headers_t`, 56 bytes), and what the allocator adds to list and elements.
const HEADER_LIST_BYTES: u64 = 96;

/// One header beside its name and its value: `rd_kafka_header_t` (40 bytes), two final zeros, a place in the list, and
/// what the allocator adds.
const HEADER_BYTES: u64 = 66;

/// Header memory is counted in steps of this many bytes.
const HEADER_STEP_BYTES: u64 = 16;

/// The largest number that fits beside the header memory: at a million events a second it lasts nine years.
const NUMBER_BITS: u32 = 48;

/// The memory of a record's headers in steps of [`HEADER_STEP_BYTES`]; more than a megabyte counts as a megabyte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct HeaderMemory(u16);

impl HeaderMemory {
    /// Of headers with these lengths of name and value.
    pub(super) fn of(headers: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut bytes = 0;
        for (name, value) in headers {
            bytes += HEADER_BYTES + as_u64(name) + as_u64(value);
        }
        if bytes > 0 {
            bytes += HEADER_LIST_BYTES;
        }
        Self(u16::try_from(bytes.div_ceil(HEADER_STEP_BYTES)).unwrap_or(u16::MAX))
    }

    /// With one more header.
    pub(super) fn with(self, name: usize, value: usize) -> Self {
        let bytes = HEADER_BYTES + as_u64(name) + as_u64(value);
        let steps = u16::try_from(bytes.div_ceil(HEADER_STEP_BYTES)).unwrap_or(u16::MAX);
        Self(self.0.saturating_add(steps))
    }
}

/// The number of an event and the memory of its headers, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

impl Ticket {
    /// `None` when the numbers have run out.
    pub(super) fn new(number: u64, headers: HeaderMemory) -> Option<Self> {
        (number < 1 << NUMBER_BITS).then(|| Self(number << 16 | u64::from(headers.0)))
    }

    /// The word for librdkafka.
    pub(super) fn to_word(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }

    /// From the word that librdkafka gives back.
    pub(super) fn from_word(word: usize) -> Self {
        Self(as_u64(word))
    }

    /// The number of the event.
    pub(super) fn number(self) -> u64 {
        self.0 >> 16
    }

    /// What the record takes in memory, with a key and a value of these lengths.
    pub(super) fn memory(self, key: usize, value: usize) -> u64 {
        let headers = (self.0 & 0xFFFF) * HEADER_STEP_BYTES;
        RECORD_BYTES + headers + as_u64(key) + as_u64(value)
    }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_gives_back_what_was_put_in() {
        let headers = HeaderMemory::of([(39, 7), (24, 1)]);
        for number in [0, 1, 255, 1 << 32, (1 << NUMBER_BITS) - 1] {
            let ticket = Ticket::new(number, headers).unwrap();
            let back = Ticket::from_word(ticket.to_word().unwrap());
            assert_eq!(back, ticket);
            assert_eq!(back.number(), number);
            assert_eq!(back.memory(10, 200), ticket.memory(10, 200));
        }
        assert_eq!(Ticket::new(1 << NUMBER_BITS, headers), None);
    }

    #[test]
    fn a_record_takes_more_than_its_value() {
        let bare = Ticket::new(7, HeaderMemory::default()).unwrap();
        assert_eq!(bare.memory(0, 0), RECORD_BYTES);
        assert_eq!(bare.memory(8, 100), RECORD_BYTES + 108);
        let one = Ticket::new(7, HeaderMemory::of([(20, 10)])).unwrap();
        assert_eq!(one.memory(0, 0), RECORD_BYTES + HEADER_LIST_BYTES + HEADER_BYTES + 30);
    }

    #[test]
    fn headers_without_end_count_as_a_megabyte() {
        let huge = HeaderMemory::default().with(10, 1 << 30);
        assert_eq!(huge, HeaderMemory(u16::MAX));
        assert_eq!(huge.with(10, 10), HeaderMemory(u16::MAX));
    }
}
