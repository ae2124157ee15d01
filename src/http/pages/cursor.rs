//! Cursors of lists. They are opaque to clients, and a tag makes them valid only for the list that issued them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::accounts::Accounts;
use crate::api::problem::Problem;

const TAG_BYTES: usize = 16;

/// The cursor of a position in the list `list` of `owner`.
pub fn encode(accounts: &Accounts, list: &str, owner: &[u8], position: &[u8]) -> String {
    let mut bytes = position.to_vec();
    bytes.extend_from_slice(&accounts.tag(list, &[owner, position]));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position of a cursor of that list.
///
/// # Errors
/// Returns 400 for a cursor that was not issued by this list.
pub fn decode(
    accounts: &Accounts,
    list: &str,
    owner: &[u8],
    cursor: &str,
) -> Result<Vec<u8>, Problem> {
    let invalid = || Problem::malformed("cursor", "was not issued by this list");
    let mut bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
    let length = bytes.len().checked_sub(TAG_BYTES).ok_or_else(invalid)?;
    let tag = bytes.split_off(length);
    let expected = accounts.tag(list, &[owner, &bytes]);
    if bool::from(tag.as_slice().ct_eq(&expected)) { Ok(bytes) } else { Err(invalid()) }
}
