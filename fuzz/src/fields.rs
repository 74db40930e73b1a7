//! Changes to what a protobuf message says, not to how it is written: fields are left out, repeated, taken from others
//! or given values at an edge, and every length fits again. Such bytes pass the decoder and come to the rules behind
//! it. What a field means is not known here.

use fastrand::Rng;

use crate::{changed, edge, one};

/// A field as it is written.
#[derive(Clone)]
struct Field {
    number: u64,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Number(u64),
    /// Four or eight bytes.
    Fixed(Vec<u8>),
    /// A text, bytes, or a message again.
    Bytes(Vec<u8>),
}

/// One of the valid messages with one to three of its fields changed, at any depth. It may come out unchanged.
///
/// # Panics
/// There is none, or one is no protobuf message.
pub fn changed_fields<T: AsRef<[u8]>>(rng: &mut Rng, valid: &[T]) -> Vec<u8> {
    let read = |bytes: &T| fields(bytes.as_ref()).expect("a valid message is one");
    let mut message = read(one(rng, valid));
    for _ in 0..rng.usize(1..4) {
        let other = read(one(rng, valid));
        change(rng, &mut message, &other);
    }
    written(&message)
}

fn change(rng: &mut Rng, message: &mut Vec<Field>, other: &[Field]) {
    if message.is_empty() || rng.u8(..8) == 0 {
        if !other.is_empty() {
            message.insert(rng.usize(..=message.len()), one(rng, other).clone());
        }
        return;
    }
    let at = rng.usize(..message.len());
    match rng.u8(..8) {
        0 => drop(message.remove(at)),
        1 => {
            let again = vec![message[at].clone(); rng.usize(1..30)];
            drop(message.splice(at..at, again));
        }
        2 => message[at].number = rng.u64(1..12),
        _ => change_value(rng, &mut message[at].value, other),
    }
}

fn change_value(rng: &mut Rng, value: &mut Value, other: &[Field]) {
    match value {
        Value::Number(number) => {
            *number = match rng.u8(..4) {
                0 => number.wrapping_add(1),
                1 => number.wrapping_sub(1),
                2 => rng.u64(..100),
                _ => edge(rng),
            };
        }
        Value::Fixed(bytes) => bytes.iter_mut().for_each(|byte| *byte = rng.u8(..)),
        Value::Bytes(bytes) => {
            if let Some(mut inner) = fields(bytes).filter(|inner| !inner.is_empty() && rng.u8(..4) > 0) {
                change(rng, &mut inner, other);
                *bytes = written(&inner);
                return;
            }
            *bytes = match rng.u8(..6) {
                0 => Vec::new(),
                // As long as a name, an id, a key or a text may be, and one more.
                1 => {
                    let length = *one(rng, &[1, 80, 81, 128, 129, 256, 257, 1_024, 1_025]);
                    vec![rng.u8(b' '..=b'~'); length]
                }
                2 => one(rng, &["\0", " ", "\u{b}", "é", "\u{fffe}", "\u{1f980}", "a b", ".", "*"]).as_bytes().to_vec(),
                3 => bytes.repeat(2),
                4 => match other
                    .iter()
                    .find_map(|field| if let Value::Bytes(text) = &field.value { Some(text) } else { None })
                {
                    Some(text) => text.clone(),
                    None => Vec::new(),
                },
                _ => changed(rng, &[bytes.as_slice()]),
            };
        }
    }
}

/// The fields of a message; `None` when the bytes are none.
fn fields(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            1 => Value::Fixed(bytes.split_off(..8)?.to_vec()),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Value::Bytes(bytes.split_off(..length)?.to_vec())
            }
            5 => Value::Fixed(bytes.split_off(..4)?.to_vec()),
            _ => return None,
        };
        found.push(Field { number: Some(tag >> 3).filter(|number| *number > 0)?, value });
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// The fields as a message again.
fn written(message: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Field { number, value } in message {
        match value {
            Value::Number(value) => {
                put(number << 3, &mut bytes);
                put(*value, &mut bytes);
            }
            Value::Fixed(value) => {
                put(number << 3 | if value.len() == 8 { 1 } else { 5 }, &mut bytes);
                bytes.extend(value);
            }
            Value::Bytes(value) => {
                put(number << 3 | 2, &mut bytes);
                put(value.len() as u64, &mut bytes);
                bytes.extend(value);
            }
        }
    }
    bytes
}

/// Appends a number as protobuf writes it.
pub(crate) fn put(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `1: 300, 2: {1: "text"}, 3: eight bytes, 4: four`.
    const VALID: &[u8] = b"\x08\xac\x02\x12\x06\x0a\x04text\x1912345678\x251234";

    #[test]
    fn a_message_is_read_and_written_to_the_byte() {
        assert_eq!(written(&fields(VALID).expect("a message")), VALID);
        for cut in [1, 2, 4, 15, VALID.len() - 1] {
            assert!(fields(&VALID[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn what_is_changed_is_a_message_still() {
        let made = (0..1_000).map(|seed| changed_fields(&mut Rng::with_seed(seed), &[VALID, b""]));
        let made: Vec<_> = made.inspect(|bytes| assert!(fields(bytes).is_some(), "{bytes:?}")).collect();
        let unchanged = made.iter().filter(|bytes| *bytes == VALID || bytes.is_empty()).count();
        assert!(unchanged < 300, "{unchanged} of 1000 are unchanged");
    }
}
