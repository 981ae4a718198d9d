package main

import "encoding/json"

// policies writes what everybody may do as policies for Envoy's RBAC filter, which knows
// neither roles nor scopes nor that the nearest one decides: for each environment who may
// read in it and who may change something. It is a discovery response, as Envoy reads it
// from a file.
func (w *world) policies() ([]byte, error) {
	type object map[string]any
	all := object{}
	for env := range w.environments {
		for _, changes := range []bool{false, true} {
			var principals []object
			for user := range w.users {
				if w.expect(user, env, changes) == granted {
					principals = append(principals, object{"sourced_metadata": object{"metadata_matcher": object{
						"filter": jwtNamespace,
						"path":   []object{{"key": jwtPayload}, {"key": "oid"}},
						"value":  object{"string_match": object{"exact": userID(user)}},
					}}})
				}
			}
			if len(principals) == 0 {
				continue // a policy without anybody would not be valid
			}
			read := object{"header": object{"name": ":method", "string_match": object{"exact": "GET"}}}
			method, kind := read, " reads"
			if changes {
				method, kind = object{"not_rule": read}, " changes"
			}
			all[envID(env)+kind] = object{
				"permissions": []object{{"and_rules": object{"rules": []object{
					{"url_path": object{"path": object{"prefix": "/powerapps" + envPlace(env) + "/"}}}, method,
				}}}},
				"principals": principals,
			}
		}
	}
	return json.Marshal(object{"version_info": "1", "resources": []object{{
		"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
		"name":  "envoy.filters.http.rbac",
		"typed_config": object{
			"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
			"rules": object{"action": "ALLOW", "policies": all},
		},
	}}})
}
