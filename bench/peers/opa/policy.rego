# The same rules in Rego: the nearest scope that speaks decides, a DENY wins a tie, and
# silence everywhere denies.
package pathgrant

default reason := "NO_ASSIGNMENT"

reason := "OVERRIDDEN" if {
	denied(chain[0])
} else := "GRANTED" if {
	allowed(chain[0])
} else := "OVERRIDDEN" if {
	denied(chain[1])
} else := "GRANTED" if {
	allowed(chain[1])
} else := "OVERRIDDEN" if {
	denied(chain[2])
} else := "GRANTED" if {
	allowed(chain[2])
}

# The environment's scope and what it inherits from, nearest first.
chain := data.chains[input.environment]

# The caller and the groups that it is in.
principals contains input.user

principals contains group if some group in data.groups[input.user]

denied(scope) if {
	some principal in principals
	some role in data.denied[principal][scope]
	data.takes[role][input.permission]
}

allowed(scope) if {
	some principal in principals
	some role in data.allowed[principal][scope]
	data.grants[role][input.permission]
}
