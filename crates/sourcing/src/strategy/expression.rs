//! A rule's own condition on an order, written in CEL, the Common Expression Language.
//!
//! ```text
//! order.value > 10000 && order.lines.exists(line, "cold_chain" in line.requires)
//! ```
//! In: the text; later, an order's facts. Out: whether the rule is for the order. What it costs is
//! known before it decides anything: loops go over the order's lines or a list in the text, lie in no
//! other loop, and build nothing; text, depth and steps are bounded. The same facts give the same
//! answer (L10). On an order on which it fails, as a field is missing or it divides by zero, the rule
//! is not for the order, and the explanation says so.

use std::cell::OnceCell;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, SelectExpr, operators};
use cel::parser::Parser;
use cel::{Context, Env, ExecutionError, Value};
use compact_str::{CompactString, ToCompactString, format_compact};
use consign_domain::money::Minor;
use consign_domain::order::ORDER_LINES_MAX;
use serde::Serialize;

use crate::facts::{Facts, LineFacts};

/// Bytes of an expression at most.
const TEXT_BYTES_MAX: usize = 1_024;
/// How deep it may be nested: the parser needs some kilobytes of stack for each level.
const DEPTH_MAX: u16 = 16;
/// Steps of an expression at most, on an order of as many lines as there may be.
pub(crate) const STEPS_MAX: u64 = 100_000;
/// Why these two are refused.
const BUILDS_A_LIST: CompactString =
    CompactString::const_new("`map` and `filter` build lists; use `exists`, `exists_one` or `all`");
/// The one name that is known.
const ORDER: &str = "order";
/// What an order has.
const ORDER_FIELDS: [&str; 7] = [
    "channel",
    "type",
    "customer_group",
    "country",
    "service_level",
    "value",
    LINES,
];
const LINES: &str = "lines";
/// What a line has.
const LINE_FIELDS: [&str; 3] = ["value", "requires", "attributes"];
/// What may be called.
const FUNCTIONS: [&str; 23] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::IN,
    operators::NOT_STRICTLY_FALSE,
    "size",
    "contains",
    "startsWith",
    "endsWith",
];

/// The language's own operators and functions.
static LANGUAGE: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A condition that has been checked.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    tree: Arc<IdedExpr>,
    steps: u64,
}

/// An order, as conditions see it; made once for all that ask.
pub(crate) struct Order<'f> {
    pub(crate) facts: &'f Facts,
    context: OnceCell<Context<'f, 'f>>,
}

/// The same in the language's values.
#[derive(Serialize)]
struct OrderView<'f> {
    channel: &'f str,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_group: Option<&'f str>,
    country: &'f str,
    service_level: &'f str,
    value: Minor,
    lines: Vec<LineView<'f>>,
}

#[derive(Serialize)]
struct LineView<'f> {
    value: Minor,
    requires: &'f [CompactString],
    attributes: &'f [CompactString],
}

impl<'f> Order<'f> {
    pub(crate) fn of(facts: &'f Facts) -> Order<'f> {
        Order {
            facts,
            context: OnceCell::new(),
        }
    }

    fn context(&self) -> &Context<'f, 'f> {
        self.context.get_or_init(|| {
            let facts = self.facts;
            let line = |(at, line): (usize, &'f LineFacts)| LineView {
                value: line.value,
                requires: &line.requires,
                attributes: facts.attributes_of(at),
            };
            let view = OrderView {
                channel: &facts.channel,
                r#type: facts.order_type.as_deref(),
                customer_group: facts.customer_group.as_deref(),
                country: &facts.country,
                service_level: &facts.service_level,
                value: facts.value(),
                lines: facts.lines.iter().enumerate().map(line).collect(),
            };
            let mut context = Context::with_env(Arc::clone(&LANGUAGE));
            let added = context.add_variable(ORDER, cel::to_value(view).unwrap_or(Value::Null));
            debug_assert!(added.is_ok(), "a value is a value");
            context
        })
    }
}

impl Expression {
    /// Checks a condition.
    ///
    /// # Errors
    /// Why it could not decide.
    pub(crate) fn of(text: &str) -> Result<Expression, CompactString> {
        if text.len() > TEXT_BYTES_MAX {
            let bytes = text.len();
            return Err(format_compact!(
                "{bytes} bytes, but at most {TEXT_BYTES_MAX} are allowed"
            ));
        }
        let parser = Parser::new().max_recursion_depth(DEPTH_MAX);
        let tree = parser.parse(text).map_err(|errors| {
            let first = errors.errors.first();
            first.map_or("is no expression".into(), |error| {
                let (line, column) = error.pos;
                format_compact!("line {line}, column {column}: {}", error.msg)
            })
        })?;
        let steps = Walk::default().steps(&tree)?;
        if steps > STEPS_MAX {
            return Err(format_compact!(
                "may take {steps} steps on an order of {ORDER_LINES_MAX} lines, but at most {STEPS_MAX} are allowed"
            ));
        }
        let expression = Expression {
            tree: Arc::new(tree),
            steps,
        };
        expression.tried()?;
        Ok(expression)
    }

    /// Steps that it takes at most.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether it holds of an order.
    ///
    /// # Errors
    /// Why it fails on this one.
    pub(crate) fn holds(&self, order: &Order<'_>) -> Result<bool, CompactString> {
        let found = Value::resolve(&self.tree, order.context());
        found.map_or_else(|error| Err(error.to_compact_string()), truth)
    }

    /// Tries it on an order that has everything: what has the wrong type is found before it decides.
    fn tried(&self) -> Result<(), CompactString> {
        let line = LineFacts {
            value: 1_000,
            requires: vec!["fragile".into()],
            keep_with: None,
        };
        let facts = Facts {
            channel: "web".into(),
            order_type: Some("gift".into()),
            customer_group: Some("staff".into()),
            country: "GB".into(),
            service_level: "standard".into(),
            lines: vec![line.clone(), line],
            attributes: vec![vec!["season=summer".into()]; 2],
            ..Facts::default()
        };
        let order = Order::of(&facts);
        match Value::resolve(&self.tree, order.context()) {
            Ok(found) => truth(found).map(drop),
            // Another order may go well.
            Err(
                ExecutionError::DivisionByZero(_)
                | ExecutionError::RemainderByZero(_)
                | ExecutionError::Overflow(..)
                | ExecutionError::IndexOutOfBounds(_),
            ) => Ok(()),
            Err(error) => Err(error.to_compact_string()),
        }
    }
}

fn truth(found: Value) -> Result<bool, CompactString> {
    match found {
        Value::Bool(holds) => Ok(holds),
        other => Err(format_compact!("is {} and not a bool", other.type_of())),
    }
}

/// A walk over an expression that counts its steps and refuses what it may not hold.
#[derive(Default)]
struct Walk {
    /// The loop it is in: (name of the line, name of what is kept).
    within: Option<(String, String)>,
}

impl Walk {
    fn steps(&mut self, tree: &IdedExpr) -> Result<u64, CompactString> {
        match &tree.expr {
            Expr::Literal(_) => Ok(1),
            Expr::Ident(name) => self.name(name),
            Expr::List(list) => self.sum(&list.elements),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(looped) => self.looped(looped),
            Expr::Map(_) | Expr::Struct(_) => Err("makes a map, which no condition needs".into()),
            Expr::Unspecified => Err("is no expression".into()),
        }
    }

    fn sum(&mut self, trees: &[IdedExpr]) -> Result<u64, CompactString> {
        trees
            .iter()
            .try_fold(1_u64, |sum, tree| Ok(sum.saturating_add(self.steps(tree)?)))
    }

    fn name(&self, name: &str) -> Result<u64, CompactString> {
        let looped = self.within.as_ref();
        let known =
            name == ORDER || looped.is_some_and(|(line, kept)| name == line || name == kept);
        if known {
            Ok(1)
        } else {
            Err(format_compact!(
                "there is no {name:?}; what is known is `{ORDER}`"
            ))
        }
    }

    fn select(&mut self, select: &SelectExpr) -> Result<u64, CompactString> {
        let field = select.field.as_str();
        let line = self.within.as_ref().map(|(line, _)| line.as_str());
        let (owner, fields): (&str, &[&str]) = match &select.operand.expr {
            Expr::Ident(name) if name == ORDER => ("an order", &ORDER_FIELDS),
            Expr::Ident(name) if Some(name.as_str()) == line => ("a line", &LINE_FIELDS),
            Expr::Ident(name) => return self.name(name),
            Expr::Call(call) if call.func_name == operators::INDEX => ("a line", &LINE_FIELDS),
            _ => {
                return Err(format_compact!(
                    "only orders and lines have fields, so no {field:?}"
                ));
            }
        };
        if !fields.contains(&field) {
            let known = fields.join(", ");
            return Err(format_compact!("{owner} has no {field:?}; it has {known}"));
        }
        // Whoever takes all lines at once looks at each.
        let own = if field == LINES {
            ORDER_LINES_MAX as u64
        } else {
            1
        };
        Ok(own.saturating_add(self.steps(&select.operand)?))
    }

    fn call(&mut self, call: &CallExpr) -> Result<u64, CompactString> {
        if !FUNCTIONS.contains(&call.func_name.as_str()) {
            return Err(match call.func_name.as_str() {
                "map" | "filter" => BUILDS_A_LIST,
                other => format_compact!("there is no function {other:?}"),
            });
        }
        let target = match &call.target {
            Some(target) => self.steps(target)?,
            None => 0,
        };
        Ok(target.saturating_add(self.sum(&call.args)?))
    }

    fn looped(&mut self, looped: &ComprehensionExpr) -> Result<u64, CompactString> {
        if self.within.is_some() {
            return Err("has a loop within a loop".into());
        }
        if !matches!(looped.accu_init.expr, Expr::Literal(_)) {
            return Err(BUILDS_A_LIST);
        }
        let times = match &looped.iter_range.expr {
            Expr::Select(select) if is_lines(select) => ORDER_LINES_MAX as u64,
            Expr::List(list) => list.elements.len() as u64,
            _ => return Err("a loop goes over `order.lines` or a list that is written out".into()),
        };
        let range = self.steps(&looped.iter_range)?;
        self.within = Some((looped.iter_var.clone(), looped.accu_var.clone()));
        let each = self
            .steps(&looped.loop_cond)?
            .saturating_add(self.steps(&looped.loop_step)?);
        let result = self.steps(&looped.result)?;
        self.within = None;
        Ok(range
            .saturating_add(times.saturating_mul(each))
            .saturating_add(result))
    }
}

fn is_lines(select: &SelectExpr) -> bool {
    select.field == LINES && matches!(&select.operand.expr, Expr::Ident(name) if name == ORDER)
}
