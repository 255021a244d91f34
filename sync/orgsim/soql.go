package orgsim

import (
	"strconv"
	"strings"
)

// The grammar, keywords in any case:
//
//	query     = SELECT item {"," item} FROM name [WHERE cond]
//	            [GROUP BY path {"," path}] [ORDER BY order {"," order}] [LIMIT n] [OFFSET n]
//	item      = COUNT "(" ")" | path | aggregate [alias]
//	aggregate = (COUNT|COUNT_DISTINCT|SUM|AVG|MIN|MAX) "(" path ")"
//	cond      = simple {AND simple} | simple {OR simple} | NOT simple
//	simple    = "(" cond ")" | path op value | path [NOT] IN "(" value {"," value} ")"
//	order     = (path | aggregate) [ASC|DESC] [NULLS (FIRST|LAST)]
//
// AND and OR side by side need parentheses, and so does NOT beside either.

type soqlQuery struct {
	items  []selectItem
	count  bool // SELECT COUNT()
	from   token
	where  *condition
	group  []fieldPath
	order  []orderItem
	limit  int // -1: none
	offset int
}

type fieldPath struct {
	text string
	pos  int
}

type selectItem struct {
	fn    string // aggregate function in capitals, or ""
	path  fieldPath
	alias string
}

type orderItem struct {
	selectItem
	desc      bool
	nullsLast bool
}

// A condition is AND, OR or NOT of others, or a comparison.
type condition struct {
	op     string // "AND", "OR", "NOT"; else = != < <= > >= LIKE IN, NOT IN
	parts  []*condition
	path   fieldPath
	values []token
}

const (
	maxQuery   = 100_000
	maxLiteral = 4000
	maxOffset  = 2000
	maxDepth   = 200 // of parentheses; keeps hostile input from the stack
)

type parser struct {
	lx    *lexer
	tok   token
	ahead token
	err   *Error // of the lexer, reported when its token is reached
	depth int
}

func parseSOQL(src string) (*soqlQuery, *lexer, *Error) {
	lx := &lexer{src: src}
	if len(src) > maxQuery {
		return nil, lx, refuse(400, "MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters.")
	}
	p := &parser{lx: lx}
	if err := p.advance(); err != nil {
		return nil, lx, err
	}
	if err := p.advance(); err != nil {
		return nil, lx, err
	}
	q, err := p.query()
	return q, lx, err
}

// advance moves on by one token.
func (p *parser) advance() *Error {
	p.tok = p.ahead
	if p.err != nil {
		return p.err
	}
	p.ahead, p.err = p.lx.next()
	return nil
}

func (p *parser) is(word string) bool {
	return p.tok.kind == tokName && strings.EqualFold(p.tok.text, word) || p.tok.kind == tokSymbol && p.tok.text == word
}

func (p *parser) aheadIs(word string) bool {
	return strings.EqualFold(p.ahead.text, word) && p.ahead.kind != tokString
}

// accept takes the words if they are next.
func (p *parser) accept(word string) (bool, *Error) {
	if !p.is(word) {
		return false, nil
	}
	return true, p.advance()
}

func (p *parser) expect(word string) *Error {
	if !p.is(word) {
		return p.lx.unexpected(p.tok)
	}
	return p.advance()
}

// clause takes a keyword, and a second one where it has two.
func (p *parser) clause(word, second string) (bool, *Error) {
	ok, err := p.accept(word)
	if ok && err == nil && second != "" {
		err = p.expect(second)
	}
	return ok, err
}

func (p *parser) query() (*soqlQuery, *Error) {
	q := &soqlQuery{limit: -1}
	steps := []func(*soqlQuery) *Error{p.selectClause, p.fromClause, p.whereClause, p.groupClause, p.orderClause, p.limitClause}
	for _, step := range steps {
		if err := step(q); err != nil {
			return nil, err
		}
	}
	if p.tok.kind != tokEnd {
		return nil, p.lx.unexpected(p.tok)
	}
	return q, nil
}

func (p *parser) selectClause(q *soqlQuery) *Error {
	if err := p.expect("SELECT"); err != nil {
		return err
	}
	return p.list(func() *Error {
		item, err := p.item()
		if err != nil {
			return err
		}
		if item.fn == "COUNT" && item.path.text == "" {
			if q.count || len(q.items) > 0 || p.is(",") {
				return p.lx.unexpected(p.tok)
			}
			q.count = true
			return nil
		}
		// An alias. "SELECT Id FORM Task" is not meant as one.
		if p.tok.kind == tokName && !p.is("FROM") {
			if !p.aheadIs("FROM") && !p.aheadIs(",") {
				return p.lx.unexpected(p.tok)
			}
			if item.fn == "" {
				return p.lx.failAt(p.tok.pos, "MALFORMED_QUERY", "only aggregate expressions use field aliasing")
			}
			item.alias = p.tok.text
			if err := p.advance(); err != nil {
				return err
			}
		}
		q.items = append(q.items, item)
		return nil
	})
}

// list runs one for each element of a comma-separated list.
func (p *parser) list(one func() *Error) *Error {
	for {
		if err := one(); err != nil {
			return err
		}
		if more, err := p.accept(","); err != nil || !more {
			return err
		}
	}
}

var aggregates = map[string]bool{"COUNT": true, "COUNT_DISTINCT": true, "SUM": true, "AVG": true, "MIN": true, "MAX": true}

// item is a field or an aggregate of one.
func (p *parser) item() (selectItem, *Error) {
	fn := strings.ToUpper(p.tok.text)
	if p.tok.kind != tokName || !aggregates[fn] || !p.aheadIs("(") {
		path, err := p.path()
		return selectItem{path: path}, err
	}
	item := selectItem{fn: fn}
	if err := p.advance(); err != nil {
		return item, err
	}
	if err := p.advance(); err != nil {
		return item, err
	}
	if fn != "COUNT" || !p.is(")") {
		path, err := p.path()
		if err != nil {
			return item, err
		}
		item.path = path
	}
	return item, p.expect(")")
}

func (p *parser) path() (fieldPath, *Error) {
	t := p.tok
	if t.kind != tokName || strings.HasSuffix(t.text, ".") || strings.Contains(t.text, "..") || reserved[strings.ToUpper(t.text)] {
		return fieldPath{}, p.lx.unexpected(t)
	}
	return fieldPath{t.text, t.pos}, p.advance()
}

var reserved = map[string]bool{"SELECT": true, "FROM": true, "WHERE": true, "AND": true, "OR": true, "NOT": true,
	"IN": true, "LIKE": true, "ORDER": true, "GROUP": true, "LIMIT": true, "OFFSET": true, "NULL": true, "TRUE": true, "FALSE": true}

func (p *parser) fromClause(q *soqlQuery) *Error {
	if err := p.expect("FROM"); err != nil {
		return err
	}
	q.from = p.tok
	_, err := p.path()
	return err
}

func (p *parser) whereClause(q *soqlQuery) *Error {
	ok, err := p.clause("WHERE", "")
	if ok && err == nil {
		q.where, err = p.condition()
	}
	return err
}

func (p *parser) condition() (*condition, *Error) {
	if not, err := p.accept("NOT"); err != nil {
		return nil, err
	} else if not {
		part, err := p.simple()
		return &condition{op: "NOT", parts: []*condition{part}}, err
	}
	first, err := p.simple()
	if err != nil || !p.is("AND") && !p.is("OR") {
		return first, err
	}
	all := &condition{op: strings.ToUpper(p.tok.text), parts: []*condition{first}}
	for p.is(all.op) {
		if err := p.advance(); err != nil {
			return nil, err
		}
		part, err := p.simple()
		if err != nil {
			return nil, err
		}
		all.parts = append(all.parts, part)
	}
	return all, nil // an OR after an AND is left over and found unexpected
}

func (p *parser) simple() (*condition, *Error) {
	if !p.is("(") {
		return p.comparison()
	}
	if p.depth++; p.depth > maxDepth {
		return nil, refuse(400, "QUERY_TOO_COMPLICATED", "SOQL statement is too deeply nested")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	c, err := p.condition()
	if err != nil {
		return nil, err
	}
	p.depth--
	return c, p.expect(")")
}

func (p *parser) comparison() (*condition, *Error) {
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	c := &condition{op: strings.ToUpper(p.tok.text), path: path}
	switch c.op {
	case "<>":
		c.op = "!="
	case "=", "!=", "<", "<=", ">", ">=", "LIKE", "IN":
	case "NOT":
		if err := p.advance(); err != nil {
			return nil, err
		}
		if !p.is("IN") {
			return nil, p.lx.unexpected(p.tok)
		}
		c.op = "NOT IN"
	default:
		return nil, p.lx.unexpected(p.tok)
	}
	if p.tok.kind == tokString {
		return nil, p.lx.unexpected(p.tok)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if c.op != "IN" && c.op != "NOT IN" {
		return c, p.value(c)
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	if err := p.list(func() *Error { return p.value(c) }); err != nil {
		return nil, err
	}
	return c, p.expect(")")
}

// value takes one literal; LAST_N_DAYS:7 is joined to one token.
func (p *parser) value(c *condition) *Error {
	t := p.tok
	switch {
	case t.kind == tokString && len(t.text) > maxLiteral:
		return p.lx.failAt(t.pos, "MALFORMED_QUERY", "string literal in the WHERE clause exceeds 4000 characters")
	case t.kind == tokString, t.kind == tokNumber:
	case t.kind == tokName && p.aheadIs(":"):
		if err := p.advance(); err != nil {
			return err
		}
		if p.ahead.kind != tokNumber {
			return p.lx.unexpected(p.ahead)
		}
		if err := p.advance(); err != nil {
			return err
		}
		t.text += ":" + p.tok.text
	case t.kind == tokName && (isWord(t.text, "null", "true", "false") || dayLiterals[strings.ToUpper(t.text)]):
	default:
		return p.lx.unexpected(t)
	}
	c.values = append(c.values, t)
	return p.advance()
}

func isWord(s string, words ...string) bool {
	for _, w := range words {
		if strings.EqualFold(s, w) {
			return true
		}
	}
	return false
}

func (p *parser) groupClause(q *soqlQuery) *Error {
	ok, err := p.clause("GROUP", "BY")
	if err != nil || !ok {
		return err
	}
	return p.list(func() *Error {
		path, err := p.path()
		q.group = append(q.group, path)
		return err
	})
}

func (p *parser) orderClause(q *soqlQuery) *Error {
	ok, err := p.clause("ORDER", "BY")
	if err != nil || !ok {
		return err
	}
	return p.list(func() *Error {
		item, err := p.item()
		if err != nil {
			return err
		}
		if item.fn != "" && item.path.text == "" {
			return p.lx.unexpected(p.tok)
		}
		o := orderItem{selectItem: item}
		if p.is("ASC") || p.is("DESC") {
			o.desc = p.is("DESC")
			if err := p.advance(); err != nil {
				return err
			}
		}
		if nulls, err := p.accept("NULLS"); err != nil {
			return err
		} else if nulls {
			o.nullsLast = p.is("LAST")
			if !o.nullsLast && !p.is("FIRST") {
				return p.lx.unexpected(p.tok)
			}
			if err := p.advance(); err != nil {
				return err
			}
		}
		q.order = append(q.order, o)
		return nil
	})
}

func (p *parser) limitClause(q *soqlQuery) *Error {
	if ok, err := p.accept("LIMIT"); err != nil {
		return err
	} else if ok {
		if q.limit, err = p.integer(); err != nil {
			return err
		}
	}
	ok, err := p.accept("OFFSET")
	if err != nil || !ok {
		return err
	}
	if q.offset, err = p.integer(); err == nil && q.offset > maxOffset {
		return refuse(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
	}
	return err
}

func (p *parser) integer() (int, *Error) {
	n, err := strconv.Atoi(p.tok.text)
	if p.tok.kind != tokNumber || err != nil || n < 0 {
		return 0, p.lx.unexpected(p.tok)
	}
	return n, p.advance()
}
