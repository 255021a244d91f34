package orgsim

import "strings"

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
