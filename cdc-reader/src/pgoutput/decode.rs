//! Decodes messages: one small function for each.

use super::cursor::{Cursor, DecodeError, Problem};
use super::message::{
    Begin, Commit, Delete, Identity, Insert, LogicalMessage, Message, OldTuple, Origin, Relation,
    RelationColumn, Truncate, Type, Update,
};
use super::tuple::Tuple;

const TRUNCATE_CASCADE: u8 = 1;
const TRUNCATE_RESTART_IDENTITY: u8 = 2;
const MESSAGE_TRANSACTIONAL: u8 = 1;

/// The fewest bytes a column of a relation message takes: flag, empty name, type, modifier.
const RELATION_COLUMN_BYTES_MIN: usize = 10;

/// Decodes one message.
///
/// # Errors
/// When the bytes are not exactly one message of protocol version 1. The error names tag, field and offset.
pub fn decode(frame: &[u8]) -> Result<Message<'_>, DecodeError> {
    let mut cursor = Cursor::new(frame);
    let tag = cursor.u8("tag")?;
    cursor.set_tag(tag);
    let message = match tag {
        b'B' => Message::Begin(decode_begin(&mut cursor)?),
        b'C' => Message::Commit(decode_commit(&mut cursor)?),
        b'O' => Message::Origin(decode_origin(&mut cursor)?),
        b'R' => Message::Relation(decode_relation(&mut cursor, frame.len())?),
        b'Y' => Message::Type(decode_type(&mut cursor)?),
        b'I' => Message::Insert(decode_insert(&mut cursor)?),
        b'U' => Message::Update(decode_update(&mut cursor)?),
        b'D' => Message::Delete(decode_delete(&mut cursor)?),
        b'T' => Message::Truncate(decode_truncate(&mut cursor)?),
        b'M' => Message::LogicalMessage(decode_logical_message(&mut cursor)?),
        code => return cursor.fail("tag", Problem::UnknownCode(code)),
    };
    cursor.finish()?;
    Ok(message)
}

/// The relation whose row a message changes, from the message's first five bytes; none for other messages.
#[must_use]
pub fn changed_relation(head: &[u8]) -> Option<u32> {
    let (tag, rest) = head.split_first()?;
    let oid = rest.first_chunk::<4>()?;
    matches!(tag, b'I' | b'U' | b'D').then(|| u32::from_be_bytes(*oid))
}

fn decode_begin(cursor: &mut Cursor<'_>) -> Result<Begin, DecodeError> {
    Ok(Begin {
        final_lsn: cursor.lsn("final lsn")?,
        commit_time: cursor.i64("commit time")?,
        xid: cursor.u32("xid")?,
    })
}

fn decode_commit(cursor: &mut Cursor<'_>) -> Result<Commit, DecodeError> {
    match cursor.u8("flags")? {
        0 => {}
        flags => return cursor.fail("flags", Problem::UnknownCode(flags)),
    }
    Ok(Commit {
        commit_lsn: cursor.lsn("commit lsn")?,
        end_lsn: cursor.lsn("end lsn")?,
        commit_time: cursor.i64("commit time")?,
    })
}

fn decode_origin<'a>(cursor: &mut Cursor<'a>) -> Result<Origin<'a>, DecodeError> {
    let lsn = cursor.i64("origin lsn")?.cast_unsigned();
    Ok(Origin { lsn, name: cursor.string("origin name")? })
}

fn decode_relation<'a>(
    cursor: &mut Cursor<'a>,
    frame_len: usize,
) -> Result<Relation<'a>, DecodeError> {
    let oid = cursor.u32("relation oid")?;
    let namespace = cursor.string("relation namespace")?;
    let name = cursor.string("relation name")?;
    let identity = match cursor.u8("replica identity")? {
        b'd' => Identity::Default,
        b'n' => Identity::Nothing,
        b'f' => Identity::Full,
        b'i' => Identity::Index,
        code => return cursor.fail("replica identity", Problem::UnknownCode(code)),
    };
    let count = usize::from(cursor.u16("column count")?);
    let mut columns = Vec::with_capacity(count.min(frame_len / RELATION_COLUMN_BYTES_MIN));
    for _ in 0..count {
        let in_identity = match cursor.u8("column flags")? {
            0 => false,
            1 => true,
            code => return cursor.fail("column flags", Problem::UnknownCode(code)),
        };
        columns.push(RelationColumn {
            in_identity,
            name: cursor.string("column name")?,
            type_oid: cursor.u32("column type")?,
            type_modifier: cursor.i32("column type modifier")?,
        });
    }
    Ok(Relation { oid, namespace, name, identity, columns })
}

fn decode_type<'a>(cursor: &mut Cursor<'a>) -> Result<Type<'a>, DecodeError> {
    Ok(Type {
        oid: cursor.u32("type oid")?,
        namespace: cursor.string("type namespace")?,
        name: cursor.string("type name")?,
    })
}

fn decode_insert<'a>(cursor: &mut Cursor<'a>) -> Result<Insert<'a>, DecodeError> {
    let relation = cursor.u32("relation oid")?;
    match cursor.u8("new tuple marker")? {
        b'N' => Ok(Insert { relation, new: Tuple::decode(cursor)? }),
        code => cursor.fail("new tuple marker", Problem::UnknownCode(code)),
    }
}

/// The old tuple is there when the identity is full, or when a column of the identity changed.
fn decode_update<'a>(cursor: &mut Cursor<'a>) -> Result<Update<'a>, DecodeError> {
    let relation = cursor.u32("relation oid")?;
    let mut marker = cursor.u8("tuple marker")?;
    let mut old = None;
    if marker != b'N' {
        old = Some(decode_old_tuple(cursor, marker)?);
        marker = cursor.u8("new tuple marker")?;
    }
    match marker {
        b'N' => Ok(Update { relation, old, new: Tuple::decode(cursor)? }),
        code => cursor.fail("new tuple marker", Problem::UnknownCode(code)),
    }
}

fn decode_delete<'a>(cursor: &mut Cursor<'a>) -> Result<Delete<'a>, DecodeError> {
    let relation = cursor.u32("relation oid")?;
    let marker = cursor.u8("old tuple marker")?;
    Ok(Delete { relation, old: decode_old_tuple(cursor, marker)? })
}

fn decode_old_tuple<'a>(cursor: &mut Cursor<'a>, marker: u8) -> Result<OldTuple<'a>, DecodeError> {
    match marker {
        b'K' => Ok(OldTuple::Key(Tuple::decode(cursor)?)),
        b'O' => Ok(OldTuple::Full(Tuple::decode(cursor)?)),
        code => cursor.fail("old tuple marker", Problem::UnknownCode(code)),
    }
}

fn decode_truncate<'a>(cursor: &mut Cursor<'a>) -> Result<Truncate<'a>, DecodeError> {
    let count = cursor.i32("relation count")?;
    let Ok(bytes) = usize::try_from(count).map(|count| count.saturating_mul(4)) else {
        return cursor.fail("relation count", Problem::NegativeLength(count));
    };
    let flags = cursor.u8("flags")?;
    if flags & !(TRUNCATE_CASCADE | TRUNCATE_RESTART_IDENTITY) != 0 {
        return cursor.fail("flags", Problem::UnknownCode(flags));
    }
    Ok(Truncate {
        cascade: flags & TRUNCATE_CASCADE != 0,
        restart_identity: flags & TRUNCATE_RESTART_IDENTITY != 0,
        relations: cursor.bytes(bytes, "relation oids")?,
    })
}

fn decode_logical_message<'a>(cursor: &mut Cursor<'a>) -> Result<LogicalMessage<'a>, DecodeError> {
    let flags = cursor.u8("flags")?;
    if flags & !MESSAGE_TRANSACTIONAL != 0 {
        return cursor.fail("flags", Problem::UnknownCode(flags));
    }
    Ok(LogicalMessage {
        transactional: flags & MESSAGE_TRANSACTIONAL != 0,
        lsn: cursor.lsn("lsn")?,
        prefix: cursor.string("prefix")?,
        content: cursor.sized_bytes("content")?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encode;
    use super::*;

    /// Frames that real servers sent, one hexadecimal message a line: the version, then `tag hex`.
    const CAPTURED: [(&str, &str); 2] = [
        ("15", include_str!("../../tests/fixtures/pgoutput-v1-15.txt")),
        ("18", include_str!("../../tests/fixtures/pgoutput-v1-18.txt")),
    ];

    fn captured() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
        CAPTURED.iter().flat_map(|(version, text)| {
            text.lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(|line| (*version, hex::decode(line).unwrap()))
        })
    }

    #[test]
    fn every_captured_message_decodes_and_encodes_to_the_same_bytes() {
        let mut tags = std::collections::BTreeSet::new();
        for (version, frame) in captured() {
            let message = decode(&frame).unwrap_or_else(|error| panic!("{version}: {error}"));
            assert_eq!(encode::encode(&message), frame, "{version}: {message:?}");
            tags.insert((version, char::from(frame[0])));
        }
        for (version, _) in CAPTURED {
            for tag in "BCRYIUDTMO".chars() {
                assert!(tags.contains(&(version, tag)), "no {tag} captured from {version}");
            }
        }
    }

    #[test]
    fn every_captured_message_cut_short_or_made_longer_is_refused() {
        for (version, frame) in captured() {
            for length in 0..frame.len() {
                let cut = decode(&frame[..length]);
                assert!(cut.is_err(), "{version}: {length} of {} bytes: {cut:?}", frame.len());
            }
            let mut longer = frame.clone();
            longer.push(0);
            assert!(decode(&longer).is_err(), "{version}: trailing byte");
        }
    }

    #[test]
    fn forged_lengths_are_refused_before_anything_is_allocated() {
        // A relation that claims 65535 columns, a value of 2 GB, a negative value, a truncate of 2^31 - 1 relations.
        for frame in [
            &b"R\0\0\0\x01public\0t\0d\xff\xff"[..],
            b"I\0\0\0\x01N\0\x01t\x7f\xff\xff\xff",
            b"I\0\0\0\x01N\0\x01t\xff\xff\xff\xff",
            b"T\x7f\xff\xff\xff\0",
            b"T\xff\xff\xff\xff\0",
        ] {
            assert!(decode(frame).is_err());
        }
    }

    #[test]
    fn errors_name_tag_field_and_offset_but_no_value() {
        let error = decode(b"I\0\0\0\x01N\0\x01t\0\0\0\x09secret").unwrap_err();
        assert_eq!(
            error.to_string(),
            "malformed pgoutput message 'I': field tuple column value at byte 13: 9 bytes needed, 6 left"
        );
    }

    proptest! {
        #[test]
        fn any_message_survives_a_round_trip(message in encode::any_message()) {
            let frame = message.encode();
            let decoded = decode(&frame).unwrap();
            prop_assert_eq!(encode::encode(&decoded), frame);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = decode(&bytes) {
                prop_assert_eq!(encode::encode(&message), bytes);
            }
        }
    }
}
