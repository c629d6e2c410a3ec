//! Several rows with one statement: each statement takes a way to the database and back.

use sqlx::AnyConnection;

/// So many rows are written with one statement at most. The rest is written with half as many, and so on, so that there are
/// few statements to prepare.
const MOST: usize = 128;

/// Cuts `rows` into portions, each for one statement.
pub(crate) fn portions<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        // The greatest power of two that fits.
        let length = (1 << rest.len().checked_ilog2()?).min(MOST);
        let (now, later) = rest.split_at_checked(length)?;
        rest = later;
        Some(now)
    })
}

/// `($1, $2), ($3, $4)` for so many rows of so many columns. SQLite looks each number up among all of them: it gets `?`,
/// which are taken in their order.
pub(crate) fn placeholders(connection: &AnyConnection, rows: usize, columns: usize) -> String {
    values(connection.backend_name() != "SQLite", rows, columns)
}

fn values(numbered: bool, rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 1..=columns {
            text.push_str(if column == 1 { "" } else { ", " });
            if numbered {
                text.push('$');
                text.push_str(&(row * columns + column).to_string());
            } else {
                text.push('?');
            }
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_rows_is_written_with_statements_of_few_lengths() {
        let rows: Vec<usize> = (0..200).collect();
        for count in 0..rows.len() {
            let parts: Vec<&[usize]> = portions(&rows[..count]).collect();
            assert_eq!(parts.concat(), rows[..count]);
            assert!(parts.iter().all(|part| part.len().is_power_of_two() && part.len() <= MOST));
        }
        assert_eq!(values(true, 2, 3), "($1, $2, $3), ($4, $5, $6)");
        assert_eq!(values(false, 2, 3), "(?, ?, ?), (?, ?, ?)");
    }
}
