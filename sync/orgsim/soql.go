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
