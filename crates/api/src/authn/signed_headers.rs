//! `SignedHeaders`: which headers a signature covers, and their values. Shared by the schemes that list them.

use super::failure::Failure;
use crate::head::Head;

/// The headers under a signature.
pub struct SignedHeaders<'a> {
    /// The list as it was sent.
    pub list: &'a str,
    /// Names and values, in the order of the list.
    pub values: Vec<(&'a str, &'a str)>,
}

impl<'a> SignedHeaders<'a> {
    /// Reads the list and finds the values.
    ///
    /// # Errors
    /// `Malformed` if a name is not in lower case or comes twice; `Mismatch` if a header is not there, not text, or
    /// there more than once, because then what was signed is not what arrived.
    pub fn read(head: &'a Head, list: &'a str) -> Result<Self, Failure> {
        let mut values: Vec<(&str, &str)> = Vec::with_capacity(16);
        for name in list.split(';') {
            let lower =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
            if !lower || values.iter().any(|(known, _)| *known == name) {
                return Err(Failure::Malformed("needs SignedHeaders in lower case, each once".to_owned()));
            }
            // Compared one by one: there are few, and looking a name up takes longer.
            let mut found = head.headers.iter().filter(|(known, _)| known.as_str() == name);
            let (Some((_, value)), None) = (found.next(), found.next()) else {
                return Err(Failure::Mismatch);
            };
            // Header values are signed as UTF-8, which is more than `to_str` accepts.
            let value = std::str::from_utf8(value.as_bytes()).map_err(|_| Failure::Mismatch)?;
            values.push((name, value.trim()));
        }
        Ok(Self { list, values })
    }

    /// The value of a header that is signed.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// What every signature must cover.
    ///
    /// # Errors
    /// `Malformed` naming the first that is missing.
    pub fn demand(&self, names: &[&str]) -> Result<(), Failure> {
        match names.iter().find(|name| self.get(name).is_none()) {
            None => Ok(()),
            Some(name) => Err(Failure::Malformed(format!("needs `{name}` in SignedHeaders"))),
        }
    }

    /// What must be covered if it is sent, because it changes what the request means.
    ///
    /// # Errors
    /// `Malformed` naming one that is sent and not covered.
    pub fn demand_if_sent(&self, head: &Head, meaningful: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let mut sent = head.headers.keys().map(http::HeaderName::as_str);
        match sent.find(|name| meaningful(name) && self.get(name).is_none()) {
            None => Ok(()),
            Some(name) => {
                Err(Failure::Malformed(format!("needs `{name}` in SignedHeaders, because it is sent")))
            }
        }
    }
}

/// The three parts of an `Authorization` header that lists its headers.
pub struct Parameters<'a> {
    /// Whose key it is.
    pub credential: &'a str,
    /// Which headers are signed.
    pub headers: &'a str,
    /// The signature.
    pub signature: &'a str,
}

impl<'a> Parameters<'a> {
    /// Reads `<credential>=…, SignedHeaders=…, Signature=…`, in any order, each once.
    ///
    /// # Errors
    /// `Malformed` saying what is wrong.
    pub fn read(text: &'a str, credential_key: &str) -> Result<Self, Failure> {
        let malformed = |text: &str| Failure::Malformed(text.to_owned());
        let (mut credential, mut headers, mut signature) = (None, None, None);
        for part in text.split(',') {
            let (key, value) =
                part.trim().split_once('=').ok_or_else(|| malformed("has a part without `=`"))?;
            let slot = match key {
                "SignedHeaders" => &mut headers,
                "Signature" => &mut signature,
                key if key == credential_key => &mut credential,
                _ => return Err(malformed("has an unknown part")),
            };
            if slot.replace(value).is_some() {
                return Err(malformed("has a part twice"));
            }
        }
        match (credential, headers, signature) {
            (Some(credential), Some(headers), Some(signature)) => Ok(Self { credential, headers, signature }),
            _ => Err(Failure::Malformed(format!("needs {credential_key}, SignedHeaders and Signature"))),
        }
    }
}
