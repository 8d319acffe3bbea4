//! Reading fixed-size fields off bytes that may end too early.

/// The next `N` bytes.
pub(crate) fn take<const N: usize>(bytes: &[u8], at: &mut usize) -> Result<[u8; N], &'static str> {
    let field = bytes
        .get(*at..)
        .and_then(|rest| rest.first_chunk())
        .ok_or("it is cut off")?;
    *at += N;
    Ok(*field)
}
