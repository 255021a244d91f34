package main

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// narrowest is the width below which a column is not cut.
const narrowest = 8

// A column is one column of a table.
type column struct {
	title   string
	numeric bool // set right
	// least is the width to which the column may be cut; 0 means that it is never cut.
	least int
	// drop orders the columns that are left out where even the least widths do not fit: the
	// lowest goes first. 0 means that the column always stays.
	drop int
}

// table lays out rows under a header, with the columns of numeric set right. On a terminal
// the widest columns are cut so that a row fits a line; elsewhere nothing is cut.
func (p *program) table(header []string, rows [][]string, numeric ...int) string {
	columns := make([]column, len(header))
	for i, title := range header {
		columns[i] = column{title: title, numeric: slices.Contains(numeric, i), least: narrowest}
	}
	return p.columns(columns, rows)
}

// columns is table for columns that are not alike.
func (p *program) columns(columns []column, rows [][]string) string {
	widths := fitColumns(columns, rows, p.terminal())
	var b strings.Builder
	header := make([]string, len(columns))
	for i, c := range columns {
		header[i] = c.title
	}
	b.WriteString(p.paint(bold, tableLine(columns, widths, header)) + "\n")
	for _, row := range rows {
		b.WriteString(tableLine(columns, widths, row) + "\n")
	}
	return b.String()
}

func tableLine(columns []column, widths []int, row []string) string {
	var cells []string
	for i, c := range columns {
		if widths[i] == 0 {
			continue
		}
		cell := cut(plain(row[i]), widths[i])
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if c.numeric {
			cell = pad + cell
		} else {
			cell += pad
		}
		cells = append(cells, cell)
	}
	return strings.TrimRight(strings.Join(cells, "  "), " ")
}

// fitColumns returns the width of each column in a line of width; 0 leaves the column out.
// A width of 0 is no limit.
func fitColumns(columns []column, rows [][]string, width int) []int {
	natural := make([]int, len(columns))
	for i, c := range columns {
		natural[i] = utf8.RuneCountInString(c.title)
		for _, row := range rows {
			natural[i] = max(natural[i], utf8.RuneCountInString(plain(row[i])))
		}
	}
	for {
		widths := slices.Clone(natural)
		if width <= 0 || shrink(columns, widths, width) {
			return widths
		}
		first := -1
		for i, c := range columns {
			if c.drop > 0 && natural[i] > 0 && (first < 0 || c.drop < columns[first].drop) {
				first = i
			}
		}
		if first < 0 {
			return widths
		}
		natural[first] = 0
	}
}

// shrink takes from the widest columns that may be cut, and reports whether a row fits then.
func shrink(columns []column, widths []int, width int) bool {
	for {
		total, widest := -2, -1
		for i, w := range widths {
			if w == 0 {
				continue
			}
			total += w + 2
			if least := columns[i].least; least > 0 && w > least && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if total <= width {
			return true
		}
		if widest < 0 {
			return false
		}
		widths[widest]--
	}
}

func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(0, width-1)]) + "…"
}
