package oracle

import "slices"

// Composites is an environment with flows and apps, for questions about running them. Its
// tables have those names that the shipped composites ask for. The rules leave room in
// places; it takes them so:
//
//   - A privilege is held where some live role gives it at a reach that counts in that table;
//     a team's role that holds for the team alone does not count for its members with User
//     reach.
//   - Whoever made a flow is no run-only user of it unless it is shared with them, too.
//   - What a connection without a provider leads to is nobody's to judge: that it has none
//     has been said.
//   - A layer failed if anything in it failed, else it is unknown if anything is, else it
//     passed. What a person lacks who may be in more teams than are listed is unknown.
type Composites struct {
	Dataverse
	// Groups are security groups and their members.
	Groups map[string][]string
	Flows  map[string]CompositeFlow
	Apps   map[string]CompositeApp
	// Players hold PowerApps.Apps.Play at the environment.
	Players []CompositePlayer
	// DirectoryComplete says that all groups are known of everybody. Of makers, who show no
	// token, they are known only then.
	DirectoryComplete bool
}

// CompositeReceivers are whom something is shared with.
type CompositeReceivers struct{ Users, Groups, Teams []string }

// CompositeFlow is a flow.
type CompositeFlow struct {
	Maker       string
	RunOnly     CompositeReceivers
	Connections []CompositeConnection
}

// CompositeConnection is a connection of a flow. Connector is dataverse or another; Provider
// is user, maker or empty.
type CompositeConnection struct {
	Name, Connector, Provider string
	Tables                    []CompositeTable
}

// CompositeTable is a table that is used; without privileges, as the layer says.
type CompositeTable struct {
	Table      string
	Privileges []string
}

// CompositeApp is an app.
type CompositeApp struct {
	SharedWith CompositeReceivers
	Everyone   bool
	Tables     []CompositeTable
}

// CompositePlayer is somebody who may play apps, itself or as a member of a group.
type CompositePlayer struct {
	User, Group string
	Expires     int64
}

// CompositeQuestion asks whether somebody may run a flow or an app.
type CompositeQuestion struct {
	User string
	// Flow or App is what is run.
	Flow, App string
	// Connectors and Licences are what the asker states.
	Connectors, Licences map[string]bool
	Now                  int64
}

// CompositeAnswer says what becomes of each layer, by its name. An answer that came before
// the layers has a reason alone.
type CompositeAnswer struct {
	Reason string
	Layers map[string]string
}

// The states of a layer.
const (
	LayerPassed  = "PASSED"
	LayerFailed  = "FAILED"
	LayerUnknown = "UNKNOWN"
)

// CompositeMistake is a rule about composites that a decider can get wrong.
type CompositeMistake string

// The mistakes. Each switches exactly one rule wrong.
const (
	FirstFailureEnds        CompositeMistake = "layers after the first failure are not looked at"
	UnstatedPasses          CompositeMistake = "what nobody stated passes"
	MakerNeverJudged        CompositeMistake = "the maker's data is judged by the user's rights"
	UserAlwaysJudged        CompositeMistake = "the maker's rights are asked for the user's connections"
	NoProviderPasses        CompositeMistake = "a connection without a provider passes"
	GroupSharesIgnored      CompositeMistake = "shares with groups ignored"
	TeamSharesIgnored       CompositeMistake = "shares with teams ignored"
	MakerNeedsNoShare       CompositeMistake = "the maker needs no share"
	EveryoneIgnored         CompositeMistake = "shares with everyone ignored"
	ReadAloneSuffices       CompositeMistake = "reading the data suffices"
	PlayNotAsked            CompositeMistake = "playing apps not asked for"
	SettingsNotAsked        CompositeMistake = "settings of the user interface not asked for"
	SmallReachInSystemTable CompositeMistake = "small reach counts in organization tables"
	TeamsOwnReachCounts     CompositeMistake = "team's own reach counts for members"
	UnknownTeamsFail        CompositeMistake = "unknown teams taken for none"
	LicenceNotAsked         CompositeMistake = "licence not asked for"
)

// CompositeMistakes returns every mistake.
func CompositeMistakes() []CompositeMistake {
	return []CompositeMistake{
		FirstFailureEnds, UnstatedPasses, MakerNeverJudged, UserAlwaysJudged, NoProviderPasses, GroupSharesIgnored,
		TeamSharesIgnored, MakerNeedsNoShare, EveryoneIgnored, ReadAloneSuffices, PlayNotAsked, SettingsNotAsked,
		SmallReachInSystemTable, TeamsOwnReachCounts, UnknownTeamsFail, LicenceNotAsked,
	}
}

// Tables that the shipped composites ask for by name.
const settingsTable = "UserEntityUISettings"

var environmentTables = []string{"Process", "ConnectionReference", "EnvironmentVariableDefinition"}

type compositeDecider struct {
	*Composites
	q     CompositeQuestion
	wrong CompositeMistake
}

// DecideComposite answers the question. With a mistake it gets that rule wrong.
func (w *Composites) DecideComposite(q CompositeQuestion, wrong CompositeMistake) CompositeAnswer {
	d := compositeDecider{w, q, wrong}
	if w.Users[q.User].Disabled {
		return CompositeAnswer{Reason: PrincipalDisabled}
	}
	names, states := d.flow, []string{}
	order := []string{"environment", "flow", "connection", "data", "licence"}
	if q.App != "" {
		names, order = d.app, []string{"app", "permission", "environment", "data", "licence"}
	}
	layers := map[string]string{}
	for _, name := range order {
		state := LayerPassed
		for _, one := range names(name) {
			state = worse(state, one)
		}
		if wrong == FirstFailureEnds && slices.ContainsFunc(states, func(s string) bool { return s != LayerPassed }) {
			state = LayerPassed
		}
		states, layers[name] = append(states, state), state
	}
	answer := CompositeAnswer{Reason: Granted, Layers: layers}
	if slices.ContainsFunc(states, func(s string) bool { return s != LayerPassed }) {
		answer.Reason = NoAssignment
	}
	return answer
}

// worse returns the state that counts of two.
func worse(a, b string) string {
	order := []string{LayerPassed, LayerUnknown, LayerFailed}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// flow returns what becomes of the parts of a layer of running a flow.
func (d compositeDecider) flow(layer string) (states []string) {
	flow := d.Flows[d.q.Flow]
	switch layer {
	case "environment":
		for _, table := range environmentTables {
			states = append(states, d.holds(d.q.User, false, table, "Read"))
		}
	case "flow":
		if d.q.User == flow.Maker && d.wrong == MakerNeedsNoShare {
			return nil
		}
		return []string{d.shared(flow.RunOnly)}
	case "connection":
		for _, c := range flow.Connections {
			if c.Provider == "" && d.wrong != NoProviderPasses {
				states = append(states, LayerFailed)
			}
		}
	case "data":
		for _, c := range flow.Connections {
			who := map[string]string{"user": d.q.User, "maker": flow.Maker}[c.Provider]
			switch {
			case who == "":
				continue
			case d.wrong == MakerNeverJudged:
				who = d.q.User
			case d.wrong == UserAlwaysJudged:
				who = flow.Maker
			}
			if c.Connector != "dataverse" {
				states = append(states, d.stated(d.q.Connectors, c.Connector))
				continue
			}
			states = append(states, d.data(who, c.Provider == "maker", c.Tables, []string{"Read", "Append", "AppendTo"})...)
		}
	case "licence":
		if d.wrong != LicenceNotAsked {
			states = append(states, d.stated(d.q.Licences, "licence"))
		}
	}
	return states
}

// app returns what becomes of the parts of a layer of running an app.
func (d compositeDecider) app(layer string) (states []string) {
	app := d.Apps[d.q.App]
	switch layer {
	case "app":
		if app.Everyone && d.wrong != EveryoneIgnored {
			return nil
		}
		return []string{d.shared(app.SharedWith)}
	case "permission":
		if d.wrong != PlayNotAsked {
			return []string{d.plays()}
		}
	case "environment":
		for table, t := range d.Tables {
			if slices.Contains(t.Classes, "system") {
				states = append(states, d.holds(d.q.User, false, table, "Read"))
			}
		}
		if d.wrong != SettingsNotAsked {
			states = append(states, d.data(d.q.User, false, []CompositeTable{{settingsTable, []string{"Create", "Read", "Write"}}}, nil)...)
		}
	case "data":
		return d.data(d.q.User, false, app.Tables, []string{"Read"})
	case "licence":
		if d.wrong != LicenceNotAsked {
			states = append(states, d.stated(d.q.Licences, "licence"))
		}
	}
	return states
}

func (d compositeDecider) data(who string, maker bool, tables []CompositeTable, otherwise []string) (states []string) {
	for _, use := range tables {
		privileges := use.Privileges
		if len(privileges) == 0 {
			privileges = otherwise
		}
		for _, privilege := range privileges {
			if d.wrong == ReadAloneSuffices && privilege != "Read" {
				continue
			}
			states = append(states, d.holds(who, maker, use.Table, privilege))
		}
	}
	return states
}

func (d compositeDecider) stated(facts map[string]bool, name string) string {
	has, said := facts[name]
	switch {
	case has:
		return LayerPassed
	case said:
		return LayerFailed
	case d.wrong == UnstatedPasses:
		return LayerPassed
	default:
		return LayerUnknown
	}
}

// missing is what becomes of something that the person lacks.
func (d compositeDecider) missing(user string, maker bool) string {
	if maker && d.Users[user].Unit == "" { // who is in no team there
		return LayerFailed
	}
	unknown := d.Users[user].TeamsUnknown
	if maker {
		unknown = !d.DirectoryComplete
	}
	if unknown && d.wrong != UnknownTeamsFail {
		return LayerUnknown
	}
	return LayerFailed
}

func (d compositeDecider) in(group string) bool { return slices.Contains(d.Groups[group], d.q.User) }

func (d compositeDecider) shared(with CompositeReceivers) string {
	found := slices.Contains(with.Users, d.q.User) ||
		d.wrong != GroupSharesIgnored && slices.ContainsFunc(with.Groups, d.in) ||
		d.wrong != TeamSharesIgnored && slices.ContainsFunc(with.Teams, func(team string) bool { return slices.Contains(d.Teams[team].Members, d.q.User) })
	switch {
	case found:
		return LayerPassed
	case len(with.Groups)+len(with.Teams) == 0:
		return LayerFailed // nothing that one could be in without its being known
	default:
		return d.missing(d.q.User, false)
	}
}

func (d compositeDecider) plays() string {
	for _, p := range d.Players {
		live := p.Expires == 0 || d.q.Now < p.Expires
		if live && (p.User == d.q.User || p.Group != "" && d.in(p.Group)) {
			return LayerPassed
		}
	}
	return d.missing(d.q.User, false)
}

// holds says whether somebody has a privilege on a table, at any reach that counts.
func (d compositeDecider) holds(user string, maker bool, table, privilege string) string {
	if d.Users[user].Disabled {
		return LayerFailed
	}
	asked := dataverseDecider{Dataverse: &d.Dataverse, q: DataverseQuestion{User: user, Table: table, Privilege: privilege, Now: d.q.Now}}
	if d.wrong == SmallReachInSystemTable {
		asked.wrong = SmallReachCountsInOrganizationTables
	}
	for _, h := range asked.mine(user) {
		reach := asked.reachOf(h.Role)
		ofTeamAlone := h.Team != "" && d.Roles[h.Role].ForTeamAlone && reach == ReachUser
		if reach != "" && (!ofTeamAlone || d.wrong == TeamsOwnReachCounts) {
			return LayerPassed
		}
	}
	return d.missing(user, maker)
}
