//! Who may sign: access keys, their secrets and rights, as `serve --credentials` reads them. A secret is never shown, neither in
//! a text of `Debug` nor in a fault. What a signature is made of is not here.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::addresses::is_account;
use crate::front::access::Right;

/// Longest access key and longest secret, in bytes.
const LONGEST: usize = 128;

/// An account id: 12 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account([u8; 12]);

impl Default for Account {
    fn default() -> Self {
        Self([b'0'; 12])
    }
}

impl Account {
    /// Reads an account id.
    ///
    /// # Errors
    /// Says what one is.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let digits = text.as_bytes().try_into().ok().filter(|_| is_account(text));
        digits.map(Self).ok_or("an account id is 12 digits")
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).expect("digits are text"))
    }
}

/// The access keys whose signatures are accepted.
#[derive(Clone)]
pub struct Credentials(Arc<BTreeMap<String, Credential>>);

/// What belongs to an access key.
pub(super) struct Credential {
    secret: Box<str>,
    /// The account that the file names.
    pub(super) account: Option<Account>,
    /// What may be done with it; all, when absent.
    pub(super) rights: Option<Arc<[Right]>>,
}

impl Credential {
    pub(super) fn secret(&self) -> &[u8] {
        self.secret.as_bytes()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} access keys", self.0.len())
    }
}

/// A profile that is being read.
#[derive(Default)]
struct Profile {
    line: usize,
    key: Option<String>,
    secret: Option<Box<str>>,
    account: Option<Account>,
    rights: Option<Arc<[Right]>>,
}

impl Credentials {
    /// Reads a file of AWS's own form: profiles `[name]`, each with `aws_access_key_id`, `aws_secret_access_key` and,
    /// where it has an account of its own or not all rights, `aws_account_id` and `lockstep_rights`. Other settings count nothing, nor do lines that begin with
    /// `#` or `;`. Temporary credentials are refused: nobody here could say when they end.
    ///
    /// # Errors
    /// Names the line, and what would be right; never a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut known = BTreeMap::new();
        let mut profile: Option<Profile> = None;
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        for (line, text) in lines.filter(|(_, text)| !text.is_empty() && !text.starts_with(['#', ';'])) {
            if text.starts_with('[') && text.ends_with(']') {
                keep(&mut known, profile.replace(Profile { line, ..Profile::default() }))?;
                continue;
            }
            let (name, value) =
                text.split_once('=').ok_or(format!("line {line} is neither [PROFILE] nor NAME = VALUE"))?;
            let profile = profile.as_mut().ok_or(format!("line {line} comes before the first [PROFILE]"))?;
            set(profile, name.trim(), value.trim()).map_err(|what| format!("line {line}: {what}"))?;
        }
        keep(&mut known, profile)?;
        if known.is_empty() { Err("it names no access key".to_owned()) } else { Ok(Self(Arc::new(known))) }
    }

    /// What belongs to an access key, if it is known.
    pub(super) fn of(&self, key: &str) -> Option<&Credential> {
        self.0.get(key)
    }
}

fn set(profile: &mut Profile, name: &str, value: &str) -> Result<(), String> {
    let fits = |allowed: fn(&u8) -> bool| (1..=LONGEST).contains(&value.len()) && value.bytes().all(|it| allowed(&it));
    let again = match name.to_ascii_lowercase().as_str() {
        "aws_access_key_id" if fits(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') => {
            profile.key.replace(value.to_owned()).is_some()
        }
        "aws_access_key_id" => return Err(format!("an access key is 1 to {LONGEST} letters, digits and underscores")),
        "aws_secret_access_key" if fits(u8::is_ascii_graphic) => profile.secret.replace(value.into()).is_some(),
        "aws_secret_access_key" => return Err(format!("a secret is 1 to {LONGEST} characters of ASCII, no space")),
        "aws_account_id" => profile.account.replace(Account::parse(value)?).is_some(),
        "lockstep_rights" => profile.rights.replace(Right::list(value)?.into()).is_some(),
        "aws_session_token" => {
            return Err(
                "temporary credentials are not supported; name an access key that needs no session token".to_owned()
            );
        }
        _ => false,
    };
    if again { Err(format!("{name} is there twice in one profile")) } else { Ok(()) }
}

/// Keeps a profile that is whole; one without a key and a secret has settings of something else.
fn keep(known: &mut BTreeMap<String, Credential>, profile: Option<Profile>) -> Result<(), String> {
    let Some(Profile { line, key, secret, account, rights }) = profile else { return Ok(()) };
    match (key, secret) {
        (Some(key), Some(secret)) => {
            if known.contains_key(&key) {
                return Err(format!("the profile of line {line} has an access key that another one has"));
            }
            known.insert(key, Credential { secret, account, rights });
            Ok(())
        }
        (None, None) => Ok(()),
        (Some(_), None) => Err(format!("the profile of line {line} has no aws_secret_access_key")),
        (None, Some(_)) => Err(format!("the profile of line {line} has no aws_access_key_id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_awss_own_form_is_read() {
        let text = "# ours\n[default]\naws_access_key_id = AKID\naws_secret_access_key=s/+=cret\nregion = eu-west-1\n\n\
                    ; two\n[two]\nAWS_ACCESS_KEY_ID=K2\naws_secret_access_key = x\naws_account_id = 123456789012\nlockstep_rights = read,send\n\
                    [settings]\noutput = json\n";
        let credentials = Credentials::parse(text).expect("credentials");
        let one = credentials.of("AKID").expect("known");
        assert_eq!((one.secret(), one.account, one.rights.as_deref()), (&b"s/+=cret"[..], None, None));
        let two = credentials.of("K2").expect("known");
        assert_eq!(two.account.expect("named").to_string(), "123456789012");
        assert_eq!(two.rights.as_deref(), Some(&[Right::Read, Right::Send][..]));
        assert!(credentials.of("K3").is_none());
        assert_eq!(format!("{credentials:?}"), "2 access keys");
    }

    #[test]
    fn a_bad_line_is_named_and_no_secret_told() {
        let long = format!("[a]\naws_access_key_id = {}", "x".repeat(129));
        for (text, words) in [
            ("", "names no access key"),
            ("[a]\nregion = x", "names no access key"),
            ("aws_access_key_id = A", "line 1 comes before"),
            ("[a]\nnonsense", "line 2 is neither"),
            ("[a]\naws_access_key_id = A", "line 1 has no aws_secret_access_key"),
            ("[a]\naws_secret_access_key = hidden", "line 1 has no aws_access_key_id"),
            ("[a]\naws_secret_access_key = hid den", "line 2: a secret"),
            ("[a]\naws_access_key_id = A B", "line 2: an access key"),
            (&long, "1 to 128"),
            ("[a]\naws_account_id = 1", "12 digits"),
            ("[a]\nlockstep_rights = fly", "known are read"),
            ("[a]\naws_session_token = hidden", "temporary credentials"),
            ("[a]\naws_secret_access_key = hidden\naws_secret_access_key = hidden", "line 3"),
            (
                "[a]\naws_access_key_id=A\naws_secret_access_key=hidden\n[b]\naws_access_key_id=A\naws_secret_access_key=hidden",
                "line 4 has an access key that another one has",
            ),
        ] {
            let error = Credentials::parse(text).expect_err("bad");
            assert!(error.contains(words) && !error.contains("hid"), "{text}: {error}");
        }
    }
}
