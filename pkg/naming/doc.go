// Package naming says which permissions at which scopes a request needs: it maps
// method, host and path to permission names by a [Catalogue].
//
// A catalogue is YAML. It declares namespaces with their resource types, and from
// these alone the naming convention follows: GET /powerapps/environments/e1/apps/a7
// asks for PowerApps.Apps.Read at the app a7 of the environment e1. Explicit routes
// stand above the convention for requests that are named differently.
//
// [Load] reads catalogues strictly and reports every problem with its place;
// [Catalogue.Resolve] maps one request. Resolving is a pure function of the catalogue
// and the request: no I/O, no clock, no allocation where its [Resolution] is reused.
//
// A catalogue with profile: dataverse maps the Dataverse Web API instead: what a request
// asks is then privileges on tables, which [Resolution.Web] holds, in one environment. A
// URL does not say everything there, so that what is neither declared nor plain is refused.
// A catalogue may declare composites too, questions with several requirements.
//
// A path that could be read in two ways is refused, never repaired. A request that the
// catalogue does not name is unmapped, which denies.
package naming
