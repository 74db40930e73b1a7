//! A form as a tree: `Attribute.1.Name=x` is the text `x` below `Attribute`, `1` and `Name`. Bounded in how many
//! parameters it has and how deep they go, not in what they are called: unknown ones are nobody's, as in JSON.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use crate::limits;

/// Most parts of a parameter's name; the deepest known one has 7, of a list in an attribute of an entry.
const DEPTH: usize = 8;

/// Why a form cannot be read.
#[derive(Debug)]
pub(super) struct Fault {
    /// The parameter, as far as it is known.
    path: String,
    reason: String,
}

impl Fault {
    pub(super) fn new(reason: impl fmt::Display) -> Self {
        Self { path: String::new(), reason: reason.to_string() }
    }

    /// The same, of what is below that part of a name.
    pub(super) fn below(mut self, part: &str) -> Self {
        self.path = if self.path.is_empty() { part.to_owned() } else { format!("{part}.{}", self.path) };
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "The form is malformed: {}.", self.reason),
            path => write!(f, "The parameter {path} is malformed: {}.", self.reason),
        }
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self::new(reason)
    }
}

/// What a form says below a name.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    text: Option<Cow<'a, str>>,
    inner: BTreeMap<Cow<'a, str>, Node<'a>>,
}

impl<'a> Node<'a> {
    /// What is below a part of a name.
    pub(super) fn inner(&self, part: &str) -> Option<&Self> {
        self.inner.get(part)
    }

    /// The same, taken out.
    pub(super) fn take(&mut self, part: &str) -> Option<Self> {
        self.inner.remove(part)
    }

    pub(super) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The text, where there is nothing else.
    pub(super) fn into_text(self) -> Result<Cow<'a, str>, Fault> {
        let expected = || Fault::new("a text is expected, and a list or a structure was given");
        self.text.filter(|_| self.inner.is_empty()).ok_or_else(expected)
    }

    /// The elements of a list in the order of their numbers, which may have gaps. An empty text is the empty list;
    /// another is its only element.
    pub(super) fn into_list(self) -> Result<Vec<(u32, Self)>, Fault> {
        match self.text {
            Some(_) if !self.inner.is_empty() => Err(Fault::new("it is a list and a text at once")),
            Some(text) if text.is_empty() => Ok(Vec::new()),
            Some(text) => Ok(vec![(1, Self { text: Some(text), inner: BTreeMap::new() })]),
            None => {
                let numbered = |(part, node): (Cow<'_, str>, Self)| Ok((number(&part)?, node));
                let mut list = self.inner.into_iter().map(numbered).collect::<Result<Vec<_>, Fault>>()?;
                list.sort_unstable_by_key(|(number, _)| *number);
                Ok(list)
            }
        }
    }

    #[expect(clippy::ptr_arg, reason = "the parts of a borrowed name live as long as the form")]
    fn put(&mut self, name: &Cow<'a, str>, text: Cow<'a, str>) -> Result<(), Fault> {
        match name {
            Cow::Borrowed(name) => self.put_below(name.split('.').map(Cow::Borrowed), text),
            Cow::Owned(name) => self.put_below(name.split('.').map(|part| Cow::Owned(part.to_owned())), text),
        }
    }

    fn put_below(&mut self, parts: impl Iterator<Item = Cow<'a, str>>, text: Cow<'a, str>) -> Result<(), Fault> {
        let mut node = self;
        for (depth, part) in parts.enumerate() {
            if depth == DEPTH {
                return Err(Fault::new(format!("a parameter's name has more than {DEPTH} parts")));
            }
            node = node.inner.entry(part).or_default();
        }
        match node.text.replace(text) {
            None => Ok(()),
            Some(_) => Err(Fault::new("a parameter is given twice")),
        }
    }
}

/// The number of an element: from 1, as it is counted.
fn number(part: &str) -> Result<u32, Fault> {
    let is_number = (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = part.parse().ok().filter(|_| is_number && !part.starts_with('0'));
    number.ok_or_else(|| Fault::new("its elements are numbered from 1 to 999999999").below(&shown(part)))
}

/// The parameters of a form, still encoded.
fn pairs(form: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &[][..]),
    })
}

/// The form as a tree.
pub(super) fn parse(form: &[u8]) -> Result<Node<'_>, Fault> {
    let mut root = Node::default();
    for (count, (name, text)) in pairs(form).enumerate() {
        if count == limits::SQS_FORM_PARAMETERS {
            return Err(Fault::new(format!("it has more than {} parameters", limits::SQS_FORM_PARAMETERS)));
        }
        let name = decoded(name)?;
        let put = decoded(text).and_then(|text| root.put(&name, text));
        put.map_err(|fault| fault.below(&shown(&name)))?;
    }
    Ok(root)
}

/// What a text repeats of a name that the caller chose.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}

/// The first parameter of that name.
pub(super) fn find<'a>(form: &'a [u8], name: &str) -> Result<Option<Cow<'a, str>>, Fault> {
    let found = pairs(form).find(|(known, _)| *known == name.as_bytes());
    found.map(|(_, text)| decoded(text).map_err(|fault| fault.below(name))).transpose()
}

/// What an encoded part means: `+` is a space, `%` and two hexadecimal digits a byte, and all of it UTF-8.
fn decoded(part: &[u8]) -> Result<Cow<'_, str>, Fault> {
    let no_text = || Fault::new("it is no UTF-8");
    if !part.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return std::str::from_utf8(part).map(Cow::Borrowed).map_err(|_| no_text());
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => high << 4 | low,
                (None, _) | (_, None) => return Err(Fault::new("a % is not followed by two hexadecimal digits")),
            },
            byte => *byte,
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| no_text())
}

fn digit(byte: Option<&u8>) -> Option<u8> {
    let digit = char::from(*byte?).to_digit(16)?;
    u8::try_from(digit).ok()
}
