package traffic

// visitor is what a request says of itself.
type visitor struct {
	unit   Unit // not known: it says nothing
	forged bool
	renew  bool // its cookie is to be set again, with the key that signs now

	// In mode plain:
	name    string // in the cookie; "" if there is none
	ticket  ticket
	genuine bool // the server has set that name
}

// visit reads the unit and the cookies of a request.
func (p *Policy) visit(f Facts) (v visitor) {
	if text := p.from.find(f); text != "" {
		v.unit = textUnit(text)
	}
	if p.sticky == nil || p.sticky.Cookie == "" || !p.plain() && v.unit.Known() {
		return v
	}
	name := p.sticky.Cookie
	value := f.Cookie(name)
	if value == "" {
		return v
	}
	ok, current := false, false
	if p.plain() {
		v.name = value
		v.ticket, ok, current = p.keys.parseTicket(f.Cookie(p.ticketCookie), name, value)
		v.genuine, v.renew = ok, ok && !current
		if ok && !v.unit.Known() {
			v.unit = Unit{origin: sticky, id: v.ticket.id}
		}
		if ok {
			return v
		}
	}
	id, ok, current := p.keys.parseUnitCookie(value, name)
	switch {
	case ok && p.plain(): // from when the mode was signed: the server's, and no variant
		v.name = ""
		fallthrough
	case ok:
		if !v.unit.Known() {
			v.unit = Unit{origin: sticky, id: id}
		}
		v.renew = !current
	case !p.plain():
		v.forged = p.index(value) < 0 // a variant's name is from when the mode was plain
	}
	return v
}

// UnitOf returns the unit that a request tells or its sticky cookie proves, and false if it does neither. It draws nothing.
func (p *Policy) UnitOf(f Facts) (Unit, bool) {
	u := p.visit(f).unit
	return u, u.Known()
}

// plain tells whether the cookie holds a variant's name.
func (p *Policy) plain() bool { return p.sticky != nil && p.sticky.Mode == ModePlain }

// follow chooses in mode plain: by the cookie, where it holds.
func (p *Policy) follow(c *Choice, v *visitor, random Random) {
	held := p.index(v.name)
	live := held >= 0 && p.shares[held] > 0
	mine := v.genuine && v.ticket.service == p.owner && v.ticket.epoch == p.Epoch && v.ticket.id == p.ticketID(c.Unit)
	c.ByHand = v.name != "" && (!v.genuine || v.ticket.byHand)
	if c.ByHand {
		c.Reason = ByHand
	}
	switch {
	case live && v.genuine && (mine || c.ByHand):
		c.Variant, c.Propensity, c.setsCookie = held, v.ticket.propensity, v.renew
		return
	case live && c.ByHand:
		c.Variant, c.Propensity = held, 1
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
