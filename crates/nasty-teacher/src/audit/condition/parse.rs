//! Reads conditions, by recursive descent.

use super::expression::{Comparison, Name, Number, Operator, Truth};
use crate::audit::AuditError;

/// Parentheses and signs may be nested this deep.
const DEEPEST: usize = 50;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Word(String),
    /// An operator or a parenthesis.
    Sign(&'static str),
}

/// Either kind of expression: which one a parenthesis holds is known only after it is read.
enum Expression {
    Truth(Truth),
    Number(Number),
}

struct Parser<'t> {
    text: &'t str,
    /// Tokens with the 1-based places of their first characters.
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
}

pub(super) fn parse(text: &str) -> Result<Truth, AuditError> {
    let mut parser = Parser { text, tokens: Vec::new(), next: 0, depth: 0 };
    parser.tokens = parser.split()?;
    let start = parser.place();
    let whole = parser.or()?;
    if let Some((at, token)) = parser.tokens.get(parser.next) {
        return Err(parser.error(*at, format!("expected the end or `and` or `or`, found {}", shown(token))));
    }
    match whole {
        Expression::Truth(truth) => Ok(truth),
        Expression::Number(_) => Err(parser.error(start, "expected a comparison, found a number".into())),
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Number(number) => format!("`{number}`"),
        Token::Word(word) => format!("`{word}`"),
        Token::Sign(sign) => format!("`{sign}`"),
    }
}

/// The longest first.
const SIGNS: [&str; 10] = ["<=", ">=", "<", ">", "+", "-", "*", "/", "(", ")"];

impl Parser<'_> {
    fn error(&self, at: usize, problem: String) -> AuditError {
        let names: Vec<&str> = Name::ALL.map(Name::as_str).to_vec();
        AuditError::Condition {
            text: self.text.to_owned(),
            at,
            problem,
            help: format!(
                "a condition compares numbers and {} with <, <=, > or >=; it may join comparisons and `unreliable` with and, or, \
                 not and parentheses: clone >= 0.95*victim or unreliable",
                names.join(", ")
            ),
        }
    }

    fn split(&self) -> Result<Vec<(usize, Token)>, AuditError> {
        let mut tokens = Vec::new();
        let chars: Vec<char> = self.text.chars().collect();
        let mut i = 0;
        while i < chars.len() {
            let at = i + 1;
            let run = |from: usize, wanted: fn(char) -> bool| {
                chars[from..].iter().take_while(|c| wanted(**c)).collect::<String>()
            };
            let c = chars[i];
            let rest: String = chars[i..].iter().take(2).collect();
            if c.is_whitespace() {
                i += 1;
            } else if c.is_ascii_digit() || c == '.' {
                let digits = run(i, |c| c.is_ascii_digit() || c == '.');
                i += digits.chars().count();
                let number: f64 = digits
                    .parse()
                    .map_err(|_| self.error(at, format!("expected a number, found `{digits}`")))?;
                let percent = chars.get(i) == Some(&'%');
                i += usize::from(percent);
                tokens.push((at, Token::Number(if percent { number / 100.0 } else { number })));
            } else if c.is_alphabetic() {
                let word = run(i, |c| c.is_alphanumeric() || c == '_');
                i += word.chars().count();
                tokens.push((at, Token::Word(word)));
            } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
                i += sign.len();
                tokens.push((at, Token::Sign(sign)));
            } else {
                return Err(self.error(at, format!("expected a name, a number or an operator, found `{c}`")));
            }
        }
        Ok(tokens)
    }

    /// The place of the next token, or that after the end.
    fn place(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.chars().count() + 1, |(at, _)| *at)
    }

    /// Whether the next token is one of these; it is taken then.
    fn take<T: Copy>(&mut self, wanted: &[(&str, T)]) -> Option<T> {
        let (_, token) = self.tokens.get(self.next)?;
        let text = match token {
            Token::Word(word) => word.as_str(),
            Token::Sign(sign) => sign,
            Token::Number(_) => return None,
        };
        let found = wanted.iter().find(|(name, _)| *name == text)?.1;
        self.next += 1;
        Some(found)
    }

    fn or(&mut self) -> Result<Expression, AuditError> {
        self.joined("or", Self::and, Truth::Or)
    }

    fn and(&mut self) -> Result<Expression, AuditError> {
        self.joined("and", Self::not, Truth::And)
    }

    fn joined(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Expression, AuditError>,
        join: fn(Box<Truth>, Box<Truth>) -> Truth,
    ) -> Result<Expression, AuditError> {
        let start = self.place();
        let mut left = part(self)?;
        while self.take(&[(word, ())]).is_some() {
            let a = self.truth(start, left, word)?;
            let at = self.place();
            let right = part(self)?;
            let b = self.truth(at, right, word)?;
            left = Expression::Truth(join(Box::new(a), Box::new(b)));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expression, AuditError> {
        if self.take(&[("not", ())]).is_none() {
            return self.comparison();
        }
        let at = self.place();
        let inner = self.deeper(Self::not)?;
        Ok(Expression::Truth(Truth::Not(Box::new(self.truth(at, inner, "not")?))))
    }

    fn comparison(&mut self) -> Result<Expression, AuditError> {
        let start = self.place();
        let left = self.sum()?;
        let signs = [
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::More),
        ];
        let Some(comparison) = self.take(&signs) else { return Ok(left) };
        let a = self.number(start, left)?;
        let at = self.place();
        let right = self.sum()?;
        let b = self.number(at, right)?;
        Ok(Expression::Truth(Truth::Compare(a, comparison, b)))
    }

    fn sum(&mut self) -> Result<Expression, AuditError> {
        self.operations(&[("+", Operator::Plus), ("-", Operator::Minus)], Self::product)
    }

    fn product(&mut self) -> Result<Expression, AuditError> {
        self.operations(&[("*", Operator::Times), ("/", Operator::Over)], Self::signed)
    }

    fn operations(
        &mut self,
        signs: &[(&str, Operator)],
        part: fn(&mut Self) -> Result<Expression, AuditError>,
    ) -> Result<Expression, AuditError> {
        let start = self.place();
        let mut left = part(self)?;
        while let Some(operator) = self.take(signs) {
            let a = self.number(start, left)?;
            let at = self.place();
            let right = part(self)?;
            let b = self.number(at, right)?;
            left = Expression::Number(Number::Operation(Box::new(a), operator, Box::new(b)));
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Expression, AuditError> {
        if self.take(&[("-", ())]).is_none() {
            return self.primary();
        }
        let at = self.place();
        let inner = self.deeper(Self::signed)?;
        Ok(Expression::Number(Number::Negative(Box::new(self.number(at, inner)?))))
    }

    fn primary(&mut self) -> Result<Expression, AuditError> {
        let at = self.place();
        let Some((_, token)) = self.tokens.get(self.next).cloned() else {
            return Err(self.error(at, "expected a name or a number, found the end".into()));
        };
        self.next += 1;
        match token {
            Token::Number(number) => Ok(Expression::Number(Number::Constant(number))),
            Token::Word(word) if word == "unreliable" => Ok(Expression::Truth(Truth::Unreliable)),
            Token::Word(word) => match Name::ALL.into_iter().find(|name| name.as_str() == word) {
                Some(name) => Ok(Expression::Number(Number::Named(name))),
                None => Err(self.error(at, format!("expected a name, found `{word}`"))),
            },
            Token::Sign("(") => {
                let inner = self.deeper(Self::or)?;
                match self.take(&[(")", ())]) {
                    Some(()) => Ok(inner),
                    None => Err(self.error(self.place(), format!("expected `)` for the `(` at {at}"))),
                }
            }
            Token::Sign(sign) => Err(self.error(at, format!("expected a name or a number, found `{sign}`"))),
        }
    }

    fn deeper(
        &mut self,
        part: fn(&mut Self) -> Result<Expression, AuditError>,
    ) -> Result<Expression, AuditError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(self.place(), format!("nested more than {DEEPEST} deep")));
        }
        let found = part(self);
        self.depth -= 1;
        found
    }

    fn truth(&self, at: usize, expression: Expression, word: &str) -> Result<Truth, AuditError> {
        match expression {
            Expression::Truth(truth) => Ok(truth),
            Expression::Number(_) => {
                Err(self.error(at, format!("`{word}` expects a comparison, found a number")))
            }
        }
    }

    fn number(&self, at: usize, expression: Expression) -> Result<Number, AuditError> {
        match expression {
            Expression::Number(number) => Ok(number),
            Expression::Truth(_) => Err(self.error(at, "expected a number, found a comparison".into())),
        }
    }
}
