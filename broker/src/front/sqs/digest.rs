//! MD5 as SQS answers it (P5): of bodies and of attributes, so that SDKs see whether what arrived is what was sent. It
//! proves nothing against malice.

use md5::{Digest as _, Md5};

use crate::{
    handle::{AttributeValue, MessageAttribute},
    identity::hex,
};

/// That of a body.
pub(super) fn of_body(body: &[u8]) -> String {
    hex(&Md5::digest(body))
}

/// That of attributes, sorted by name; none where there are none, because SDKs check what they are given.
pub(super) fn of_attributes<'a>(attributes: impl Iterator<Item = &'a MessageAttribute>) -> Option<String> {
    let mut sorted: Vec<_> = attributes.collect();
    if sorted.is_empty() {
        return None;
    }
    sorted.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let mut md5 = Md5::new();
    for MessageAttribute { name, data_type, value } in sorted {
        let kind = match value {
            AttributeValue::Text(_) => 1_u8,
            AttributeValue::Binary(_) => 2,
        };
        part(&mut md5, name.as_bytes());
        part(&mut md5, data_type.as_bytes());
        md5.update([kind]);
        part(&mut md5, value.as_bytes());
    }
    Some(hex(&md5.finalize()))
}

fn part(md5: &mut Md5, bytes: &[u8]) {
    md5.update(u32::try_from(bytes.len()).expect("a request is shorter than 4 GiB").to_be_bytes());
    md5.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, value: &str) -> MessageAttribute {
        let value = AttributeValue::Text(value.to_owned());
        MessageAttribute { name: name.to_owned(), data_type: "String".to_owned(), value }
    }

    #[test]
    fn p5_the_recorded_vectors() {
        assert_eq!(of_body(b"msg"), "6e2baaf3b97dbeef01c0043275f9a0e7");
        let foo = text("Foo", "Bar");
        assert_eq!(of_attributes([&foo].into_iter()).as_deref(), Some("ae7155c6026991b6d54b11589678bf9c"));
        assert_eq!(of_attributes(std::iter::empty()), None);
        let (one, two) = (text("a", "1"), text("b", "2"));
        assert_eq!(of_attributes([&one, &two].into_iter()), of_attributes([&two, &one].into_iter()));
    }
}
