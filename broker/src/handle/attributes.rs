//! Message attributes: what a sender says about a message beside its body. Judged once, here, for every front (L7);
//! they count in a message's size (L2) and enter no deduplication (S3). Where they are stored is `codec`'s affair.

use bytes::Bytes;
use lockstep_proto::storage::{StoredAttribute, stored_attribute::Value};

use crate::{failure::Invalid, limits};

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Of a `String` or a `Number`.
    Text(String),
    /// Of a `Binary`.
    Binary(Bytes),
}

impl AttributeValue {
    /// The bytes that count, and that are hashed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageAttribute {
    /// 1 to 256 letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// `String`, `Number` or `Binary`, and a label of one's own after a dot; at most 256 bytes.
    pub data_type: String,
    /// Never empty.
    pub value: AttributeValue,
}

/// The attributes of a message, in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageAttributes(Vec<MessageAttribute>);

impl MessageAttributes {
    /// Judges attributes.
    ///
    /// # Errors
    /// [`Invalid`] with rule L7 says which one is wrong, and what would be right.
    pub fn parse(attributes: Vec<MessageAttribute>) -> Result<Self, Invalid> {
        if attributes.len() > limits::MESSAGE_ATTRIBUTES {
            let text = format!(
                "the message has {} attributes; it may have at most {}",
                attributes.len(),
                limits::MESSAGE_ATTRIBUTES
            );
            return Err(fault(text));
        }
        for (index, attribute) in attributes.iter().enumerate() {
            judge(attribute)?;
            if attributes[..index].iter().any(|other| other.name == attribute.name) {
                return Err(fault(format!("the attribute {:?} is there twice", attribute.name)));
            }
        }
        Ok(Self(attributes))
    }

    /// Bytes by L2: each one's name, type and value.
    #[must_use]
    pub fn size(&self) -> usize {
        let size = |it: &MessageAttribute| it.name.len() + it.data_type.len() + it.value.as_bytes().len();
        self.0.iter().map(size).sum()
    }

    /// What a message was stored with.
    pub(super) fn read(stored: Vec<StoredAttribute>) -> Self {
        let read = |StoredAttribute { name, data_type, value }| {
            let value = match value {
                Some(Value::Binary(bytes)) => AttributeValue::Binary(bytes),
                Some(Value::Text(text)) => AttributeValue::Text(text),
                None => AttributeValue::Text(String::new()),
            };
            MessageAttribute { name, data_type, value }
        };
        Self(stored.into_iter().map(read).collect())
    }

    /// How they are stored.
    pub(super) fn stored(&self) -> Vec<StoredAttribute> {
        let stored = |it: &MessageAttribute| {
            let value = match &it.value {
                AttributeValue::Text(text) => Value::Text(text.clone()),
                AttributeValue::Binary(bytes) => Value::Binary(bytes.clone()),
            };
            StoredAttribute { name: it.name.clone(), data_type: it.data_type.clone(), value: Some(value) }
        };
        self.0.iter().map(stored).collect()
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &MessageAttribute> {
        self.0.iter()
    }
}

/// Whether a receive that asks for these names wants an attribute: `All`, `.*`, a prefix before `.*`, or the exact
/// name (R8).
#[must_use]
pub fn is_wanted(wanted: &[String], name: &str) -> bool {
    wanted.iter().any(|wanted| match wanted.strip_suffix(".*") {
        Some(prefix) => name.strip_prefix(prefix).is_some_and(|rest| prefix.is_empty() || rest.starts_with('.')),
        None => wanted == "All" || wanted == name,
    })
}

fn fault(text: String) -> Invalid {
    Invalid::new("MESSAGE_ATTRIBUTE_INVALID", "L7", text + " (L7)")
}

fn judge(attribute: &MessageAttribute) -> Result<(), Invalid> {
    let MessageAttribute { name, data_type, value } = attribute;
    judge_name(name)?;
    let kind = data_type.split('.').next().unwrap_or_default();
    let label = data_type.strip_prefix(kind).unwrap_or_default();
    if !matches!(kind, "String" | "Number" | "Binary") || label == "." || data_type.len() > limits::ATTRIBUTE_NAME {
        return Err(fault(format!(
            "the attribute {name:?} has the type {data_type:?}; it must be String, Number or Binary, with or without a \
             label after a dot, and at most {} bytes",
            limits::ATTRIBUTE_NAME
        )));
    }
    if value.as_bytes().is_empty() {
        return Err(fault(format!("message attribute {name:?} must contain a non-empty value of type {kind:?}")));
    }
    match (kind, value) {
        ("Binary", AttributeValue::Binary(_)) => Ok(()),
        ("Number", AttributeValue::Text(text)) if is_number(text) => Ok(()),
        ("Number", AttributeValue::Text(text)) => Err(fault(format!(
            "the attribute {name:?} has the value {text:?}, which is no number of at most 38 digits between 10^-128 and \
             10^126"
        ))),
        ("String", AttributeValue::Text(text)) if text.chars().all(is_allowed) => Ok(()),
        ("String", AttributeValue::Text(_)) => {
            Err(fault(format!("the value of attribute {name:?} has a character that no message body may have (L6)")))
        }
        (_, AttributeValue::Text(_)) => Err(fault(format!("the attribute {name:?} is Binary, but its value is text"))),
        (_, AttributeValue::Binary(_)) => {
            Err(fault(format!("the attribute {name:?} is a {kind}, but its value is binary")))
        }
    }
}

fn judge_name(name: &str) -> Result<(), Invalid> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let lower = name.to_ascii_lowercase();
    let what = if name.is_empty() || name.len() > limits::ATTRIBUTE_NAME {
        "1 to 256 bytes long"
    } else if !name.chars().all(allowed) {
        "of letters, digits, underscores, hyphens and dots"
    } else if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        "without a dot at its ends and without two dots in a row"
    } else if lower.starts_with("aws.") || lower.starts_with("amazon.") {
        "without \"AWS.\" or \"Amazon.\" before it"
    } else {
        return Ok(());
    };
    let name: String = name.chars().take(200).collect();
    Err(fault(format!("{name:?} is no name of a message attribute: it must be {what}")))
}

/// The characters of L6.
pub(crate) fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Whether a text has only characters that a message may have (L6).
pub(crate) fn is_message_text(text: &str) -> bool {
    // All that is forbidden is below a space, or begins with 0xEF in UTF-8; most texts have neither.
    let suspicious = |byte: u8| byte == 0xEF || (byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r'));
    !text.bytes().any(suspicious) || text.chars().all(is_allowed)
}

/// A decimal number, maybe with an exponent: at most 38 digits that count, 0 or between 10^-128 and 10^126.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => match exponent.parse::<i32>() {
            Ok(exponent) => (mantissa, exponent),
            Err(_) => return false,
        },
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
        return false;
    }
    let digits = format!("{whole}{fraction}");
    let Some(first) = digits.find(|digit| digit != '0') else { return true };
    let significant = digits.trim_end_matches('0').len() - first;
    let places = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    // The power of ten of the first digit that counts.
    let magnitude = places(whole.len()) - places(first) - 1 + i64::from(exponent);
    let at_most = magnitude < 126 || (magnitude == 126 && significant == 1 && digits.as_bytes()[first] == b'1');
    significant <= 38 && magnitude >= -128 && at_most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, data_type: &str, value: &str) -> MessageAttribute {
        let value = AttributeValue::Text(value.to_owned());
        MessageAttribute { name: name.to_owned(), data_type: data_type.to_owned(), value }
    }

    #[test]
    fn l7_good_attributes_are_taken_and_counted() {
        let binary = AttributeValue::Binary(Bytes::from_static(b"\0\xff"));
        let good = vec![
            text("Foo", "String", "Bar"),
            text("attr.1øßä", "String.label", "\t~"),
            text("n", "Number.int", "-1.5E3"),
            MessageAttribute { name: "b_-".to_owned(), data_type: "Binary".to_owned(), value: binary },
        ];
        let parsed = MessageAttributes::parse(good.clone()).expect("good");
        assert_eq!(parsed.size(), (3 + 6 + 3) + (12 + 12 + 2) + (1 + 10 + 6) + (3 + 6 + 2));
        assert!(parsed.iter().eq(&good));
    }

    #[test]
    fn l7_bad_attributes_are_refused_with_their_names() {
        let long = "x".repeat(257);
        let bad = [
            text("", "String", "v"),
            text(&long, "String", "v"),
            text("a b", "String", "v"),
            text(".a", "String", "v"),
            text("a.", "String", "v"),
            text("a..b", "String", "v"),
            text("aWs.x", "String", "v"),
            text("AMAZON.x", "String", "v"),
            text("a", "string", "v"),
            text("a", "String.", "v"),
            text("a", "StringList", "v"),
            text("a", &format!("String.{long}"), "v"),
            text("a", "String", ""),
            text("a", "String", "\0"),
            text("a", "Binary", "text"),
            text("a", "Number", "one"),
            MessageAttribute { value: AttributeValue::Binary(Bytes::from_static(b"1")), ..text("a", "Number", "") },
        ];
        for attribute in bad {
            let error = MessageAttributes::parse(vec![attribute.clone()]).expect_err("bad");
            assert_eq!((error.reason, error.rule), ("MESSAGE_ATTRIBUTE_INVALID", "L7"), "{attribute:?}");
        }
        let twice = vec![text("a", "String", "v"), text("a", "String", "w")];
        assert!(MessageAttributes::parse(twice).expect_err("twice").message.contains("twice"));
        let many = (0..11).map(|number| text(&format!("a{number}"), "String", "v")).collect();
        assert!(MessageAttributes::parse(many).expect_err("too many").message.contains("11"));
    }

    #[test]
    fn l7_numbers_have_38_digits_and_a_range() {
        let nines = "9".repeat(38);
        for good in ["0", "-0.0", "1", "+1", ".5", "5.", "1e126", "1E-128", &nines, &format!("{nines}000"), "00012300"]
        {
            assert!(is_number(good), "{good}");
        }
        let ten_more = format!("{nines}9");
        for bad in ["", "-", ".", "1e", "1e127", "2e126", "1e-129", "0x1", "1 ", "1_0", "NaN", "inf", &ten_more] {
            assert!(!is_number(bad), "{bad}");
        }
    }

    #[test]
    fn r8_names_are_wanted_by_all_by_prefix_or_exactly() {
        let wanted =
            |names: &[&str], name| is_wanted(&names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(), name);
        assert!(wanted(&["All"], "a") && wanted(&[".*"], "a") && wanted(&["a.*"], "a.b") && wanted(&["x", "a"], "a"));
        assert!(!wanted(&[], "a") && !wanted(&["b", "nobody"], "a") && !wanted(&["a.*"], "ab"));
    }
}
