//! Reads of an order's answer what is counted, and nothing behind it: reading all of an answer
//! costs as much as everything else that is done here for an order.
//!
//! In: an order as the server writes it, alone or in a batch's line. Out: its status, and each
//! line's SKU, units reserved and units that wait for stock. None of what is read has escapes.

use std::ops::ControlFlow::{self, Break, Continue};

/// What of an order's answer is looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OrderAnswer<'a> {
    pub(super) status: &'a str,
    pub(super) lines: Vec<LineAnswer<'a>>,
}

/// What of an order's line is looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LineAnswer<'a> {
    pub(super) sku: &'a str,
    /// Units that locations have reserved.
    pub(super) reserved: u64,
    /// Units that wait for stock.
    pub(super) backordered: u64,
}

/// The answer is not the JSON of an order.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an order that is not understood, from byte {at} on")]
pub(super) struct NotUnderstood {
    at: usize,
}

/// The answer to an order that was placed.
pub(super) fn order(json: &[u8]) -> Result<OrderAnswer<'_>, NotUnderstood> {
    Scan { json, at: 0 }.order()
}

/// The order in a batch's line, if it was placed (201).
pub(super) fn placed_in_line(json: &[u8]) -> Result<Option<OrderAnswer<'_>>, NotUnderstood> {
    let (mut placed, mut order) = (false, None);
    let mut scan = Scan { json, at: 0 };
    scan.members(|scan, name| {
        match name {
            b"status" => placed = scan.number()? == 201,
            b"order" => order = Some(scan.order()?),
            _ => scan.skip()?,
        }
        Ok(ends_when(placed && order.is_some()))
    })?;
    Ok(order.filter(|_| placed))
}

fn ends_when(has_all: bool) -> ControlFlow<()> {
    if has_all { Break(()) } else { Continue(()) }
}

/// A place in a JSON text.
struct Scan<'a> {
    json: &'a [u8],
    at: usize,
}

type Scanned<T> = Result<T, NotUnderstood>;

impl<'a> Scan<'a> {
    fn order(&mut self) -> Scanned<OrderAnswer<'a>> {
        let (mut status, mut lines) = (None, None);
        self.members(|scan, name| {
            match name {
                b"status" => status = Some(scan.text()?),
                b"lines" => lines = Some(scan.lines()?),
                _ => scan.skip()?,
            }
            Ok(ends_when(status.is_some() && lines.is_some()))
        })?;
        match (status, lines) {
            (Some(status), Some(lines)) => Ok(OrderAnswer { status, lines }),
            _ => Err(self.wrong()),
        }
    }

    fn lines(&mut self) -> Scanned<Vec<LineAnswer<'a>>> {
        let mut lines = Vec::with_capacity(4);
        self.elements(|scan| {
            let (mut sku, mut reserved, mut backordered) = (None, None, None);
            scan.members(|scan, name| {
                match name {
                    b"sku" => sku = Some(scan.text()?),
                    b"allocations" => reserved = Some(scan.allocated()?),
                    b"backordered" => backordered = Some(scan.number()?),
                    _ => scan.skip()?,
                }
                Ok(Continue(()))
            })?;
            match (sku, reserved, backordered) {
                (Some(sku), Some(reserved), Some(backordered)) => lines.push(LineAnswer {
                    sku,
                    reserved,
                    backordered,
                }),
                _ => return Err(scan.wrong()),
            }
            Ok(())
        })?;
        Ok(lines)
    }

    /// The units of a line's allocations.
    fn allocated(&mut self) -> Scanned<u64> {
        let mut units = 0_u64;
        self.elements(|scan| {
            let mut quantity = None;
            scan.members(|scan, name| {
                match name {
                    b"quantity" => quantity = Some(scan.number()?),
                    _ => scan.skip()?,
                }
                Ok(Continue(()))
            })?;
            units = units.saturating_add(quantity.ok_or_else(|| scan.wrong())?);
            Ok(())
        })?;
        Ok(units)
    }

    /// Calls `each` at each member's value, until it has what it wants.
    fn members(
        &mut self,
        mut each: impl FnMut(&mut Self, &'a [u8]) -> Scanned<ControlFlow<()>>,
    ) -> Scanned<()> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            return self.expect(b'}');
        }
        loop {
            let name = self.string()?;
            self.expect(b':')?;
            if each(self, name)?.is_break() || self.ends(b'}')? {
                return Ok(());
            }
        }
    }

    /// Calls `each` at each element.
    fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Scanned<()>) -> Scanned<()> {
        self.expect(b'[')?;
        if self.peek()? == b']' {
            return self.expect(b']');
        }
        loop {
            each(self)?;
            if self.ends(b']')? {
                return Ok(());
            }
        }
    }

    /// Whether `end` comes next, else a comma must.
    fn ends(&mut self, end: u8) -> Scanned<bool> {
        let next = self.peek()?;
        self.at += 1;
        match next {
            b',' => Ok(false),
            next if next == end => Ok(true),
            _ => Err(self.wrong()),
        }
    }

    fn text(&mut self) -> Scanned<&'a str> {
        let text = self.string()?;
        std::str::from_utf8(text).map_err(|_| self.wrong())
    }

    /// What is between quotes, if it has no escapes.
    fn string(&mut self) -> Scanned<&'a [u8]> {
        self.expect(b'"')?;
        let rest = &self.json[self.at..];
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
        match end {
            Some(end) if rest[end] == b'"' => {
                self.at += end + 1;
                Ok(&rest[..end])
            }
            _ => Err(self.wrong()),
        }
    }

    fn number(&mut self) -> Scanned<u64> {
        self.peek()?;
        let rest = &self.json[self.at..];
        let mut number = 0_u64;
        let mut digits = 0;
        for digit in rest.iter().take_while(|byte| byte.is_ascii_digit()) {
            number = number
                .checked_mul(10)
                .and_then(|number| number.checked_add(u64::from(digit - b'0')))
                .ok_or_else(|| self.wrong())?;
            digits += 1;
        }
        self.at += digits;
        let ends = matches!(
            self.json.get(self.at),
            None | Some(b',' | b'}' | b']' | b' ')
        );
        if digits > 0 && ends {
            Ok(number)
        } else {
            Err(self.wrong())
        }
    }

    /// Passes over a value.
    fn skip(&mut self) -> Scanned<()> {
        self.peek()?;
        let mut depth = 0_u32;
        while let Some(byte) = self.json.get(self.at) {
            match byte {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b'}' | b']' if depth == 0 => return Ok(()),
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err(self.wrong())
    }

    fn skip_string(&mut self) -> Scanned<()> {
        self.at += 1;
        while let Some(byte) = self.json.get(self.at) {
            self.at += match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => 2,
                _ => 1,
            };
        }
        Err(self.wrong())
    }

    fn expect(&mut self, byte: u8) -> Scanned<()> {
        if self.peek()? != byte {
            return Err(self.wrong());
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Scanned<u8> {
        while let Some(byte) = self.json.get(self.at) {
            if !byte.is_ascii_whitespace() {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(self.wrong())
    }

    fn wrong(&self) -> NotUnderstood {
        NotUnderstood { at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{"id":"0x","customer":{"id":"a\"}"},"metadata":{},"status":"backordered","lines":[
        {"line":"1","sku":"TEA","taxes":[{"rate":0.2}],"units":{"allocated":3},
         "allocations":[{"location":"LON","quantity":3},{"location":"EDI","quantity":2}],"backordered":0},
        {"sku":"JAM","allocations":[],"backordered":4,"kind":"physical"}],"totals":{"total":"7.65"}}"#;

    #[test]
    fn an_order_is_read_up_to_its_lines() {
        let read = order(ORDER.as_bytes()).expect("an order");
        assert_eq!(read.status, "backordered");
        let lines: Vec<_> = read
            .lines
            .iter()
            .map(|line| (line.sku, line.reserved, line.backordered))
            .collect();
        assert_eq!(lines, [("TEA", 5, 0), ("JAM", 0, 4)]);
    }

    #[test]
    fn only_placed_orders_of_a_batch_are_read() {
        let line = |status: u16| format!(r#"{{"line":7,"status":{status},"order":{ORDER}}}"#);
        let placed = line(201);
        let read = placed_in_line(placed.as_bytes()).expect("a line");
        assert_eq!(read.map(|order| order.lines.len()), Some(2));
        assert_eq!(placed_in_line(line(202).as_bytes()), Ok(None));
        let refused = r#"{"line":1,"status":422,"problem":{"code":"validation_failed"}}"#;
        assert_eq!(placed_in_line(refused.as_bytes()), Ok(None));
    }

    #[test]
    fn what_is_no_order_is_refused() {
        for wrong in [
            "",
            "null",
            "{}",
            r#"{"status":"allocated"}"#,
            r#"{"status":"allocated","lines":[{"sku":"TEA","backordered":0}]}"#,
            r#"{"status":"allocated","lines":[{"sku":"TEA","allocations":[{}],"backordered":0}]}"#,
            r#"{"status":"allocated","lines":[{"sku":"TEA","allocations":[],"backordered":-1}]}"#,
            r#"{"status":"allocated","lines":[{"sku":"TEA","allocations":[],"backordered":1.5}]}"#,
            r#"{"status":"allocated" "lines":[]}"#,
            r#"{"status":"a\u0041","lines":[]}"#,
        ] {
            assert!(order(wrong.as_bytes()).is_err(), "{wrong}");
        }
        // Wherever it is cut off before its lines have ended.
        let end = ORDER.find(r#","totals""#).expect("totals") - 1;
        for cut in 0..end {
            assert!(order(&ORDER.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }
}
