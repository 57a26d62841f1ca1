//! The decoder's twin, for tests and fuzzing: messages to the bytes a server would send.

use super::message::{Begin, Commit, Identity, Message, OldTuple, Truncate};
use super::tuple::{Column, Tuple};

/// The bytes of a message.
#[must_use]
pub fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match message {
        Message::Begin(m) => begin(&mut out, m),
        Message::Commit(m) => commit(&mut out, m),
        Message::Origin(m) => {
            out.push(b'O');
            out.extend(m.lsn.to_be_bytes());
            string(&mut out, m.name);
        }
        Message::Relation(m) => relation(&mut out, m),
        Message::Type(m) => {
            out.push(b'Y');
            out.extend(m.oid.to_be_bytes());
            string(&mut out, m.namespace);
            string(&mut out, m.name);
        }
        Message::Insert(m) => {
            out.push(b'I');
            out.extend(m.relation.to_be_bytes());
            tuple(&mut out, b'N', &m.new);
        }
        Message::Update(m) => {
            out.push(b'U');
            out.extend(m.relation.to_be_bytes());
            if let Some(old) = &m.old {
                old_tuple(&mut out, old);
            }
            tuple(&mut out, b'N', &m.new);
        }
        Message::Delete(m) => {
            out.push(b'D');
            out.extend(m.relation.to_be_bytes());
            old_tuple(&mut out, &m.old);
        }
        Message::Truncate(m) => truncate(&mut out, m),
        Message::LogicalMessage(m) => {
            out.push(b'M');
            out.push(u8::from(m.transactional));
            out.extend(m.lsn.0.to_be_bytes());
            string(&mut out, m.prefix);
            sized(&mut out, m.content);
        }
    }
    out
}

fn begin(out: &mut Vec<u8>, m: &Begin) {
    out.push(b'B');
    out.extend(m.final_lsn.0.to_be_bytes());
    out.extend(m.commit_time.to_be_bytes());
    out.extend(m.xid.to_be_bytes());
}

fn commit(out: &mut Vec<u8>, m: &Commit) {
    out.extend(b"C\0");
    out.extend(m.commit_lsn.0.to_be_bytes());
    out.extend(m.end_lsn.0.to_be_bytes());
    out.extend(m.commit_time.to_be_bytes());
}

fn truncate(out: &mut Vec<u8>, m: &Truncate<'_>) {
    out.push(b'T');
    out.extend(u32::try_from(m.relations.len() / 4).unwrap_or(u32::MAX).to_be_bytes());
    out.push(u8::from(m.cascade) | u8::from(m.restart_identity) << 1);
    out.extend(m.relations);
}

fn relation(out: &mut Vec<u8>, m: &super::Relation<'_>) {
    out.push(b'R');
    out.extend(m.oid.to_be_bytes());
    string(out, m.namespace);
    string(out, m.name);
    out.push(match m.identity {
        Identity::Default => b'd',
        Identity::Nothing => b'n',
        Identity::Full => b'f',
        Identity::Index => b'i',
    });
    out.extend(u16::try_from(m.columns.len()).unwrap_or(u16::MAX).to_be_bytes());
    for column in &m.columns {
        out.push(u8::from(column.in_identity));
        string(out, column.name);
        out.extend(column.type_oid.to_be_bytes());
        out.extend(column.type_modifier.to_be_bytes());
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend(text.as_bytes());
    out.push(0);
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(bytes);
}

fn old_tuple(out: &mut Vec<u8>, old: &OldTuple<'_>) {
    match old {
        OldTuple::Key(t) => tuple(out, b'K', t),
        OldTuple::Full(t) => tuple(out, b'O', t),
    }
}

fn tuple(out: &mut Vec<u8>, marker: u8, tuple: &Tuple<'_>) {
    out.push(marker);
    out.extend(u16::try_from(tuple.column_count()).unwrap_or(u16::MAX).to_be_bytes());
    for column in tuple.columns() {
        match column {
            Column::Null => out.push(b'n'),
            Column::UnchangedToast => out.push(b'u'),
            Column::Text(value) => {
                out.push(b't');
                sized(out, value);
            }
            Column::Binary(value) => {
                out.push(b'b');
                sized(out, value);
            }
        }
    }
}

#[cfg(test)]
pub(super) use arbitrary::any_message;

#[cfg(test)]
mod arbitrary {
    use proptest::prelude::*;

    /// A message that owns its parts, as bytes under construction.
    #[derive(Debug, Clone)]
    pub(in super::super) struct OwnedMessage(Vec<u8>);

    impl OwnedMessage {
        pub(in super::super) fn encode(&self) -> Vec<u8> {
            self.0.clone()
        }
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        "[^\\x00]{0,20}".prop_map(|text| [text.as_bytes(), &[0]].concat())
    }

    fn any_tuple(marker: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
        let column = prop_oneof![
            Just(b"n".to_vec()),
            Just(b"u".to_vec()),
            (prop_oneof![Just(b't'), Just(b'b')], proptest::collection::vec(any::<u8>(), 0..40))
                .prop_map(|(kind, value)| {
                    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
                    [&[kind][..], &length, &value].concat()
                }),
        ];
        proptest::collection::vec(column, 0..8).prop_map(move |columns| {
            let count = u16::try_from(columns.len()).unwrap().to_be_bytes();
            [marker, &count, &columns.concat()].concat()
        })
    }

    fn any_relation() -> impl Strategy<Value = Vec<u8>> {
        let column = (any::<bool>(), name(), any::<u32>(), any::<i32>()).prop_map(
            |(key, name, oid, modifier)| {
                [&[u8::from(key)][..], &name, &oid.to_be_bytes(), &modifier.to_be_bytes()].concat()
            },
        );
        let identity = prop_oneof![Just(b'd'), Just(b'n'), Just(b'f'), Just(b'i')];
        (any::<u32>(), name(), name(), identity, proptest::collection::vec(column, 0..8)).prop_map(
            |(oid, namespace, name, identity, columns)| {
                let count = u16::try_from(columns.len()).unwrap().to_be_bytes();
                [
                    b"R",
                    &oid.to_be_bytes()[..],
                    &namespace,
                    &name,
                    &[identity],
                    &count,
                    &columns.concat(),
                ]
                .concat()
            },
        )
    }

    pub(in super::super) fn any_message() -> impl Strategy<Value = OwnedMessage> {
        let lsn = 1u64..;
        let oid = any::<u32>().prop_map(u32::to_be_bytes);
        prop_oneof![
            (lsn.clone(), any::<i64>(), any::<u32>()).prop_map(|(lsn, time, xid)| {
                [b"B", &lsn.to_be_bytes()[..], &time.to_be_bytes(), &xid.to_be_bytes()].concat()
            }),
            (lsn.clone(), lsn.clone(), any::<i64>()).prop_map(|(lsn, end, time)| {
                [b"C\0", &lsn.to_be_bytes()[..], &end.to_be_bytes(), &time.to_be_bytes()].concat()
            }),
            (any::<u64>(), name())
                .prop_map(|(lsn, name)| [b"O", &lsn.to_be_bytes()[..], &name].concat()),
            any_relation(),
            (oid.clone(), name(), name()).prop_map(|(oid, namespace, name)| [
                b"Y",
                &oid[..],
                &namespace,
                &name
            ]
            .concat()),
            (oid.clone(), any_tuple(b"N")).prop_map(|(oid, new)| [b"I", &oid[..], &new].concat()),
            (
                oid.clone(),
                prop_oneof![Just(Vec::new()), any_tuple(b"K"), any_tuple(b"O")],
                any_tuple(b"N")
            )
                .prop_map(|(oid, old, new)| [b"U", &oid[..], &old, &new].concat()),
            (oid.clone(), prop_oneof![any_tuple(b"K"), any_tuple(b"O")]).prop_map(|(oid, old)| [
                b"D",
                &oid[..],
                &old
            ]
            .concat()),
            (0u8..4, proptest::collection::vec(any::<[u8; 4]>(), 0..6)).prop_map(
                |(flags, oids)| {
                    let count = u32::try_from(oids.len()).unwrap().to_be_bytes();
                    [b"T", &count[..], &[flags], &oids.concat()].concat()
                }
            ),
            (0u8..2, lsn, name(), proptest::collection::vec(any::<u8>(), 0..40)).prop_map(
                |(flags, lsn, prefix, content)| {
                    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
                    [b"M", &[flags][..], &lsn.to_be_bytes(), &prefix, &length, &content].concat()
                }
            ),
        ]
        .prop_map(OwnedMessage)
    }
}
