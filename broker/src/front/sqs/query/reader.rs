//! Typed requests out of a form's tree, by serde: the type says what is a text, a number, a list, a map or a structure,
//! because the form cannot.

use std::borrow::Cow;

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor, value::BorrowedStrDeserializer},
    forward_to_deserialize_any,
};

use super::{
    form::{Fault, Node},
    names,
};

/// Reads what a form says below a name.
pub(super) struct Reader<'a, 'n> {
    node: Node<'a>,
    /// The name on the wire, without numbers.
    name: &'n str,
    action: &'n str,
}

impl<'a, 'n> Reader<'a, 'n> {
    /// Reads a whole form.
    pub(super) fn new(root: Node<'a>, action: &'n str) -> Self {
        Self { node: root, name: "", action }
    }

    fn number<T: std::str::FromStr>(self) -> Result<T, Fault> {
        self.node.into_text()?.parse().map_err(|_| Fault::new("a whole number is expected"))
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.into_text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_i64(self.number()?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_u64(self.number()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &*self.node.into_text()? {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(Fault::new("true or false is expected")),
        }
    }

    /// What is there is given; what is not, nobody reads.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let list = self.node.into_list()?.into_iter();
        visitor.visit_seq(Elements { list, name: self.name, action: self.action })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let pair = names::pair(self.name);
        // An only entry may be without a number.
        let is_entry = self.node.inner(pair.0).is_some();
        let list = if is_entry { vec![(1, self.node)] } else { self.node.into_list()? };
        visitor.visit_map(Entries { list: list.into_iter(), value: None, pair, action: self.action })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if self.node.text().is_some() {
            return Err(Fault::new("a structure is expected, and a text was given"));
        }
        visitor.visit_map(Fields { node: self.node, fields: fields.iter(), next: None, action: self.action })
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct enum identifier ignored_any
    }
}

/// The elements of a list.
struct Elements<'a, 'n> {
    list: std::vec::IntoIter<(u32, Node<'a>)>,
    name: &'n str,
    action: &'n str,
}

impl<'de> SeqAccess<'de> for Elements<'de, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((number, node)) = self.list.next() else { return Ok(None) };
        let reader = Reader { node, name: self.name, action: self.action };
        seed.deserialize(reader).map(Some).map_err(|fault| fault.below(&number.to_string()))
    }
}

/// The entries of a map: structures of a key and a value.
struct Entries<'a, 'n> {
    list: std::vec::IntoIter<(u32, Node<'a>)>,
    value: Option<(u32, Option<Node<'a>>)>,
    pair: (&'static str, &'static str),
    action: &'n str,
}

impl<'a, 'n> Entries<'a, 'n> {
    fn part(&self, node: Option<Node<'a>>, name: &'static str) -> Result<Reader<'a, 'n>, Fault> {
        let node = node.ok_or_else(|| Fault::new("it is missing").below(name))?;
        Ok(Reader { node, name, action: self.action })
    }
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((number, mut node)) = self.list.next() else { return Ok(None) };
        let (name, value) = self.pair;
        self.value = Some((number, node.take(value)));
        let key = self
            .part(node.take(name), name)
            .and_then(|reader| seed.deserialize(reader).map_err(|fault| fault.below(name)));
        key.map(Some).map_err(|fault| fault.below(&number.to_string()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (number, node) = self.value.take().expect("a value is asked for after its key");
        let (_, name) = self.pair;
        let value =
            self.part(node, name).and_then(|reader| seed.deserialize(reader).map_err(|fault| fault.below(name)));
        value.map_err(|fault| fault.below(&number.to_string()))
    }
}

/// The fields of a structure, as far as the form has them.
struct Fields<'a, 'n> {
    node: Node<'a>,
    fields: std::slice::Iter<'static, &'static str>,
    next: Option<(Cow<'static, str>, Node<'a>)>,
    action: &'n str,
}

impl<'de> MapAccess<'de> for Fields<'de, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        for field in &mut self.fields {
            let name = names::wire(field, self.action);
            if let Some(node) = self.node.take(&name) {
                self.next = Some((name, node));
                return seed.deserialize(BorrowedStrDeserializer::new(field)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (name, node) = self.next.take().expect("a value is asked for after its key");
        let reader = Reader { node, name: &name, action: self.action };
        seed.deserialize(reader).map_err(|fault| fault.below(&name))
    }
}
