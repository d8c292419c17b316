package traffic

// cookie tells whether the server sets a cookie.
func (p *Policy) cookie() bool { return p.sticky != nil && p.sticky.Cookie != "" }

// plain tells whether the cookie holds a variant's name.
func (p *Policy) plain() bool { return p.sticky != nil && p.sticky.Mode == ModePlain }

// visitSigned finds the unit of a request: what it tells, else what its signed cookie proves.
func (p *Policy) visitSigned(c *Choice, f Facts) {
	if p.tell(c, f); c.Unit.Known() || !p.cookie() {
		return
	}
	value := f.Cookie(p.sticky.Cookie)
	if value == "" {
		return
	}
	id, ok, current := p.keys.parseUnitCookie(value, p.sticky.Cookie)
	if ok {
		c.Unit, c.setsCookie = Unit{origin: sticky, id: id}, !current
	}
	c.Forged = !ok && p.index(value) < 0 // a variant's name is from when the mode was plain
}

// tell takes the unit that a request tells.
func (p *Policy) tell(c *Choice, f Facts) {
	if text := p.from.find(f); text != "" {
		c.Unit = textUnit(text)
	}
}

// held is what a request in mode plain says of its variant.
type held struct {
	name    string // in the cookie; "" if there is none
	ticket  ticket
	genuine bool // the server has set that name
}

// visitPlain finds what a request holds and its unit: what it tells, else what its ticket proves.
func (p *Policy) visitPlain(c *Choice, f Facts) (h held) {
	p.tell(c, f)
	name := p.sticky.Cookie
	if h.name = f.Cookie(name); h.name == "" {
		return h
	}
	t, ok, current := p.keys.parseTicket(f.Cookie(p.ticketCookie), name, h.name)
	h.ticket, h.genuine = t, ok
	id := t.id
	if !ok {
		if id, ok, current = p.keys.parseUnitCookie(h.name, name); !ok {
			return h
		}
		h.name = "" // it is from when the mode was signed: the server's, and no variant
	}
	c.setsCookie = !current
	if !c.Unit.Known() {
		c.Unit = Unit{origin: sticky, id: id}
	}
	return h
}

// UnitOf returns the unit that a request tells or its sticky cookie proves, and false if it does neither. It draws nothing.
func (p *Policy) UnitOf(f Facts) (Unit, bool) {
	var c Choice
	if p.plain() {
		p.visitPlain(&c, f)
	} else {
		p.visitSigned(&c, f)
	}
	return c.Unit, c.Unit.Known()
}

// follow chooses in mode plain: by the cookie, where it holds.
func (p *Policy) follow(c *Choice, h *held, random Random) {
	named := p.index(h.name)
	live := named >= 0 && p.shares[named] > 0
	mine := h.genuine && h.ticket.service == p.owner && h.ticket.epoch == p.Epoch && h.ticket.id == p.ticketID(c.Unit)
	c.ByHand = h.name != "" && (!h.genuine || h.ticket.byHand)
	if c.ByHand {
		c.Reason = ByHand
	}
	switch {
	case live && h.genuine && (mine || c.ByHand):
		c.Variant, c.Propensity = named, h.ticket.propensity
		return
	case live && c.ByHand:
		c.Variant, c.Propensity = named, 1
	case mine:
		// Its variant has no weight any more. The hash has been asked in this epoch; what it says to the others now depends on what it
		// said then. Fresh chance does not.
		u := Unit{id: newID(random)}
		c.Variant, c.Propensity = p.draw(&u)
	default:
		c.Variant, c.Propensity = p.draw(&c.Unit)
	}
	c.setsCookie = true
}

// ticketID is what a ticket calls a unit: its id, or the keyed hash of what the request tells.
func (p *Policy) ticketID(u Unit) [16]byte {
	if u.origin == told {
		return p.keys.digest(u)
	}
	return u.id
}
