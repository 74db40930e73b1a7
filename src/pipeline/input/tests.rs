//! Lines that are messages, lines that are not, and files that nobody of ours wrote.

use super::*;

fn mapping(id_by: &str) -> Mapping {
    Mapping { group_by: GroupBy::Field("conversation_id".to_owned()), id_by: id_by.parse().unwrap() }
}

fn checked(text: &str, id_by: &str, skip_bad: bool) -> anyhow::Result<Checked> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    check(file.path(), &mapping(id_by), skip_bad, |_| Ok(()))
}

#[test]
fn a_resent_line_is_no_second_message() {
    let line = "{\"conversation_id\":\"a\",\"turn\":1}\n";
    let found = checked(&line.repeat(2), "content", false).unwrap();
    assert_eq!((found.lines, found.distinct, found.groups), (2, 1, 1));
}

#[test]
fn the_same_id_with_other_bytes_is_named_with_both_lines() {
    let text = "{\"conversation_id\":\"a\",\"turn\":1}\n{\"conversation_id\":\"a\",\"turn\":1,\"x\":2}\n";
    let error = checked(text, "conversation_id,turn", false).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("line 1") && error.contains("a/1"), "{error}");
}

#[test]
fn bad_lines_are_named_by_rule_or_skipped_and_listed() {
    let long = format!("{{\"conversation_id\":\"{}\"}}\n", "x".repeat(129));
    for (line, rule) in
        [("not json\n", "not JSON"), ("\n", "L2"), ("[1]\n", "object"), ("{\"turn\":1}\n", "no field"), (&long, "L5")]
    {
        let error = checked(line, "content", false).unwrap_err().to_string();
        assert!(error.contains(rule) && error.contains("line 1"), "{error}");
        let skipped = checked(line, "content", true).unwrap().skipped;
        assert_eq!(skipped.len(), 1);
    }
    let control = "{\"conversation_id\":\"a\",\"text\":\"\u{1}\"}\n";
    assert!(checked(control, "content", false).unwrap_err().to_string().contains("L6"));
}

#[test]
fn a_line_of_any_length_takes_no_more_room_than_a_body() {
    // Written small, read long: a file of 64 KiB holds it.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for part in [vec![b'x'; 16 << 20], b"\n{\"conversation_id\":\"a\"}\n".to_vec()] {
        std::io::Write::write_all(&mut gzip, &part).unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), gzip.finish().unwrap()).unwrap();
    let mut lines = Lines::open(file.path()).unwrap();
    let (number, line) = lines.next_line().unwrap().unwrap();
    assert_eq!((number, line.len()), (1, MAX_BODY + 1));
    assert!(lines.buffer.capacity() <= 4 * MAX_BODY, "{}", lines.buffer.capacity());
    assert_eq!(lines.next_line().unwrap().unwrap(), (2, b"{\"conversation_id\":\"a\"}".as_slice()));
    assert!(lines.next_line().unwrap().is_none());
    let found = check(file.path(), &mapping("content"), true, |_| Ok(())).unwrap();
    assert_eq!((found.lines, found.skipped.len()), (1, 1));
    assert!(found.skipped[0].1.contains("L2"), "{:?}", found.skipped);
}

#[test]
fn lines_are_split_as_they_are_written() {
    for (text, lines) in
        [("", vec![]), ("\n", vec![""]), ("a", vec!["a"]), ("a\n", vec!["a"]), ("a\n\nb", vec!["a", "", "b"])]
    {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut found = Lines::open(file.path()).unwrap();
        let mut read = Vec::new();
        while let Some((_, line)) = found.next_line().unwrap() {
            read.push(String::from_utf8(line.to_vec()).unwrap());
        }
        assert_eq!(read, lines, "{text:?}");
        assert_eq!(found.digest(), hex(&Sha256::digest(text)), "{text:?}");
    }
}

#[test]
fn any_text_is_bad_lines_or_messages_within_the_limits() {
    let valid = [
        "{\"conversation_id\":\"a\",\"turn\":1}\n{\"conversation_id\":\"b\",\"turn\":2.5e3,\"text\":\"ü\\u00fc\"}\n",
        "{\"turn\":18446744073709551615,\"conversation_id\":-7,\"deep\":[[[{\"a\":null}]],true]}",
        "{\"conversation_id\":\"a\",\"turn\":1,\"conversation_id\":\"again\"}\r\n\n",
    ];
    let is_id = |id: &str| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    for mut chance in lockstep_fuzz::tries(20_000) {
        let bytes = lockstep_fuzz::changed(&mut chance, &valid);
        let by = *lockstep_fuzz::one(&mut chance, &["content", "turn", "conversation_id,turn"]);
        let mut filter = Filter::new(mapping(by), |_| Ok(()));
        let (mut reader, mut line) = (bytes.as_slice(), Vec::new());
        while read_line(&mut reader, &mut line, |_| ()).unwrap() {
            match filter.message(1, &line) {
                Ok(Message { group, id, body }) => {
                    assert_eq!(body.as_bytes(), line);
                    assert!(is_id(&group) && is_id(&id), "{group:?} {id:?}");
                }
                Err(told) => assert!(!told.is_empty()),
            }
        }
    }
}

#[test]
fn any_text_as_a_file_is_read_or_refused_compressed_or_not() {
    let plain = b"{\"conversation_id\":\"a\",\"turn\":1}\n".repeat(50);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
    let valid = [gzip.finish().unwrap(), plain];
    let file = tempfile::NamedTempFile::new().unwrap();
    for mut chance in lockstep_fuzz::tries(500) {
        std::fs::write(file.path(), lockstep_fuzz::changed(&mut chance, &valid)).unwrap();
        if let Ok(checked) = check(file.path(), &mapping("content"), true, |_| Ok(())) {
            assert!(checked.distinct <= checked.lines);
        }
    }
}
