//! Puts every change into a source beside the original: `crate::__on(id)` decides at run time.

use crate::list::{Genre, Mutant, Place};
use anyhow::{Context as _, Result};
use proc_macro2::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, UnOp};

/// The function that is asked, for the end of `lib.rs`: is this mutant switched on? With `MUTANTS_REACHED`, a file, it writes
/// down which test asked for which; each test has a thread of its own.
pub(crate) const ON: &str = r#"
#[doc(hidden)]
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]
pub fn __on(id: u32) -> bool {
    use std::io::Write as _;
    static ACTIVE: std::sync::LazyLock<u32> =
        std::sync::LazyLock::new(|| std::env::var("MUTANTS_ON").map_or(0, |id| id.parse().unwrap()));
    static REACHED: std::sync::LazyLock<Option<std::fs::File>> = std::sync::LazyLock::new(|| {
        let path = std::env::var("MUTANTS_REACHED").ok()?;
        Some(std::fs::OpenOptions::new().append(true).open(path).unwrap())
    });
    thread_local! { static SEEN: std::cell::RefCell<std::collections::HashSet<u32>> = Default::default(); }
    if *ACTIVE != 0 {
        return *ACTIVE == id;
    }
    if let Some(mut file) = REACHED.as_ref()
        && SEEN.with_borrow_mut(|seen| seen.insert(id))
    {
        writeln!(file, "{}\t{id}", std::thread::current().name().unwrap_or("?")).unwrap();
    }
    false
}
"#;

/// `source` with these mutants in it, and the ids of those that found a place.
pub(crate) fn switch(source: &str, mutants: &[&Mutant]) -> Result<(String, BTreeSet<u32>)> {
    let file = syn::parse_file(source).context("this is no Rust")?;
    let mut at: BTreeMap<Place, Vec<&Mutant>> = BTreeMap::new();
    for mutant in mutants.iter().filter(|mutant| !mutant.is_opaque()) {
        at.entry(mutant.span.start).or_default().push(mutant);
    }
    let mut switches = Switches {
        source,
        at,
        edits: vec![],
        placed: BTreeSet::new(),
    };
    switches.visit_file(&file);
    switches.edits.sort_by_key(|edit| (edit.range.start, edit.order));
    let (mut text, mut from) = (String::new(), 0);
    for Edit { range, text: new, .. } in &switches.edits {
        text.push_str(source.get(from..range.start).unwrap_or_default());
        text.push_str(new);
        from = from.max(range.end);
    }
    text.push_str(source.get(from..).unwrap_or_default());
    Ok((text, switches.placed))
}

struct Edit {
    range: Range<usize>,
    /// Among those at one place: what ends there first, the inner one before the outer; then what begins, the other way round.
    order: i64,
    text: String,
}

struct Switches<'a> {
    source: &'a str,
    at: BTreeMap<Place, Vec<&'a Mutant>>,
    edits: Vec<Edit>,
    placed: BTreeSet<u32>,
}

/// The question, on a line of its own, so that an error of the compiler names it.
fn on(mutant: &Mutant) -> String {
    format!("\ncrate::__on({})", mutant.id)
}

impl<'a> Switches<'a> {
    /// The mutants of this kind that begin here.
    fn here(&self, span: Span, genre: Genre) -> Vec<&'a Mutant> {
        let start = span.start();
        let place = Place {
            line: start.line,
            column: start.column + 1,
        };
        let found = self.at.get(&place).into_iter().flatten();
        found.copied().filter(|mutant| mutant.genre == genre).collect()
    }

    fn replace(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.edits.push(Edit {
            range,
            order: 0,
            text: text.into(),
        });
    }

    /// Text before and after what stands there.
    fn wrap(&mut self, range: Range<usize>, before: impl Into<String>, after: impl Into<String>) {
        let order = i64::try_from(self.edits.len()).unwrap_or(i64::MAX) + 1;
        let (before, after) = (before.into(), after.into());
        self.edits.push(Edit {
            range: range.start..range.start,
            order,
            text: before,
        });
        self.edits.push(Edit {
            range: range.end..range.end,
            order: -order,
            text: after,
        });
    }

    fn place(&mut self, mutants: &[&Mutant]) {
        self.placed.extend(mutants.iter().map(|mutant| mutant.id));
    }

    /// `if` one is on its alternative `else` the next, and at the end what was there.
    fn choose(mutants: &[&Mutant], alternative: impl Fn(&str) -> String, original: &str) -> String {
        let mut text = String::new();
        for mutant in mutants {
            text += &format!("if {} {{ {} }} else ", on(mutant), alternative(&mutant.replacement));
        }
        text + "{ " + original + " }"
    }

    fn body(&mut self, block: &syn::Block) {
        let Some(first) = block.stmts.first() else { return };
        let mutants = self.here(first.span(), Genre::FnValue);
        for mutant in &mutants {
            let start = first.span().byte_range().start;
            self.wrap(
                start..start,
                format!("if {} {{ return {}; }}\n", on(mutant), mutant.replacement),
                "",
            );
        }
        self.place(&mutants);
    }

    fn binary(&mut self, expr: &syn::ExprBinary) {
        let mutants = self.here(expr.op.span(), Genre::BinaryOperator);
        let Some(first) = mutants.first() else { return };
        let (whole, operator) = (expr.span().byte_range(), expr.op.span().byte_range());
        let symbol = self.source.get(operator.clone()).unwrap_or_default();
        match expr.op {
            BinOp::And(_) | BinOp::Or(_) if has_let(&expr.left) || has_let(&expr.right) => return,
            BinOp::And(_) => {
                self.wrap(whole, "({ let __l = ", " } else { __l } })");
                self.replace(operator, format!("; if __l != {} {{ ", on(first)));
            }
            BinOp::Or(_) => {
                self.wrap(whole, "({ let __l = ", " } else { __l } })");
                self.replace(operator, format!("; if __l == {} {{ ", on(first)));
            }
            BinOp::Eq(_) | BinOp::Ne(_) => self.wrap(whole, format!("({} != (", on(first)), "))"),
            BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => {
                let choice = Self::choose(
                    &mutants,
                    |other| format!("*__l {other} *__r"),
                    &format!("*__l {symbol} *__r"),
                );
                self.wrap(whole, "(match (&(", format!(")) {{ (__l, __r) => {choice} }})"));
                self.replace(operator, "), &(");
            }
            BinOp::BitOrAssign(_) | BinOp::BitAndAssign(_) | BinOp::AddAssign(_) | BinOp::SubAssign(_) => {
                let side = |range: Range<usize>| self.source.get(range).unwrap_or_default();
                let (left, right) = (
                    side(expr.left.span().byte_range()),
                    side(expr.right.span().byte_range()),
                );
                let text = Self::choose(&mutants, |other| format!("{left} {other} {right}"), "");
                self.wrap(whole, text.trim_end_matches('}'), "}");
            }
            _ => {
                let choice = Self::choose(
                    &mutants,
                    |other| format!("__l {other} __r"),
                    &format!("__l {symbol} __r"),
                );
                self.wrap(whole, "(match (", format!(") {{ (__l, __r) => {choice} }})"));
                self.replace(operator, ", ");
            }
        }
        self.place(&mutants);
    }

    fn unary(&mut self, expr: &syn::ExprUnary) {
        let mutants = self.here(expr.op.span(), Genre::UnaryOperator);
        let Some(first) = mutants.first() else { return };
        match expr.op {
            UnOp::Not(_) => self.wrap(expr.span().byte_range(), format!("({} != ", on(first)), ")"),
            UnOp::Neg(_) => {
                let end = format!(") {{ __e => if {} {{ __e }} else {{ -__e }} }})", on(first));
                self.wrap(expr.span().byte_range(), "(match (", end);
                self.replace(expr.op.span().byte_range(), "");
            }
            _ => return,
        }
        self.place(&mutants);
    }

    /// An arm that is switched off needs another one for what it would have matched.
    fn arm(&mut self, arm: &syn::Arm, has_rest: bool) {
        let mut gone = self.here(arm.span(), Genre::MatchArm);
        gone.retain(|_| has_rest);
        if let Some((_, guard)) = &arm.guard {
            if has_let(guard) {
                return;
            }
            if let Some(first) = gone.first() {
                self.wrap(guard.span().byte_range(), format!("!{} && (", on(first)), ")");
            }
            let mutants = self.here(guard.span(), Genre::MatchArmGuard);
            if !mutants.is_empty() {
                let choice = Self::choose(&mutants, str::to_owned, "");
                self.wrap(
                    guard.span().byte_range(),
                    format!("({}", choice.trim_end_matches('}')),
                    "})",
                );
            }
            self.place(&mutants);
        } else if let Some(first) = gone.first() {
            let end = arm.pat.span().byte_range().end;
            self.replace(end..end, format!(" if !{} ", on(first)));
        }
        self.place(&gone);
    }

    fn fields(&mut self, expr: &syn::ExprStruct) {
        let Some(base) = &expr.rest else { return };
        let base = self.source.get(base.span().byte_range()).unwrap_or_default();
        for field in &expr.fields {
            let mutants = self.here(field.span(), Genre::StructField);
            let (Some(first), syn::Member::Named(name)) = (mutants.first(), &field.member) else {
                continue;
            };
            let label = if field.colon_token.is_none() {
                format!("{name}: ")
            } else {
                String::new()
            };
            let before = format!("{label}(if {} {{ ({base}).{name} }} else {{ ", on(first));
            self.wrap(field.expr.span().byte_range(), before, " })");
            self.place(&mutants);
        }
    }
}

impl<'ast> Visit<'ast> for Switches<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.body(&item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.body(&item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_expr_binary(&mut self, expr: &'ast syn::ExprBinary) {
        self.binary(expr);
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast syn::ExprUnary) {
        self.unary(expr);
        visit::visit_expr_unary(self, expr);
    }

    fn visit_expr_match(&mut self, expr: &'ast syn::ExprMatch) {
        let is_rest = |arm: &syn::Arm| arm.guard.is_none() && matches!(arm.pat, syn::Pat::Wild(_));
        let has_rest = expr.arms.iter().any(is_rest);
        for arm in &expr.arms {
            self.arm(arm, has_rest);
        }
        visit::visit_expr_match(self, expr);
    }

    fn visit_expr_struct(&mut self, expr: &'ast syn::ExprStruct) {
        self.fields(expr);
        visit::visit_expr_struct(self, expr);
    }
}

/// A chain with `let` in it can stand nowhere else.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}
