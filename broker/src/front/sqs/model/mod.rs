//! Requests and answers as the service's model has them, one file a family. Every protocol reads and writes the same
//! types, by serde: texts are borrowed from the request where it has them plainly, and what a request leaves out is
//! absent. What a field may hold is judged by its operation; nothing is judged here.

pub(super) mod batches;
pub(super) mod messages;
pub(super) mod moves;
pub(super) mod permissions;
pub(super) mod queues;
pub(super) mod tags;

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Deref};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor},
    ser::SerializeMap as _,
};

/// A text of a request: borrowed, unless it was written with escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Text<'_> {
    /// The bytes; copied only where they are the request's.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self.0 {
            Cow::Borrowed(text) => Bytes::copy_from_slice(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(Texts)
    }
}

/// Bytes; base64 in every protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Bytes);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        let bytes =
            STANDARD.decode(text.as_bytes()).map_err(|error| de::Error::custom(format!("no base64: {error}")))?;
        Ok(Self(bytes.into()))
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

/// A text that is kept as bytes.
#[derive(Clone, Debug)]
pub(crate) struct Utf8(pub(crate) Bytes);

impl Serialize for Utf8 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(&self.0))
    }
}

/// A map, in the order in which it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pairs<K, V>(pub(crate) Vec<(K, V)>);

impl<K, V> Default for Pairs<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K, V> Pairs<K, V> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Pairs<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Maps<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Maps<K, V> {
            type Value = Pairs<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Maps(PhantomData))
    }
}

impl<K: Serialize, V: Serialize> Serialize for Pairs<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// An answer without fields.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Nothing {}

/// A request that names a queue and nothing else.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OfQueue<'a> {
    #[serde(borrow)]
    pub(crate) queue_url: Option<Text<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_borrowed_where_they_can_be() {
        let read: Vec<Text<'_>> = serde_json::from_str(r#"["plain", "one\ttwo"]"#).expect("texts");
        assert!(matches!(&read[0].0, Cow::Borrowed("plain")) && matches!(&read[1].0, Cow::Owned(_)));
        let pairs: Pairs<Text<'_>, Blob> = serde_json::from_str(r#"{"b": "AP8=", "a": ""}"#).expect("pairs");
        assert_eq!(pairs.0[0].1, Blob(Bytes::from_static(b"\0\xff")));
        assert_eq!(serde_json::to_string(&Pairs(vec![("b", 1), ("a", 2)])).expect("text"), r#"{"b":1,"a":2}"#);
        assert!(serde_json::from_str::<Blob>("\"no\"").is_err() && serde_json::from_str::<Text<'_>>("1").is_err());
    }
}
