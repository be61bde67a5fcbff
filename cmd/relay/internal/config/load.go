package config

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed73300619/relay/server/auth"
)

// A Problem is a setting that cannot be used as it is.
type Problem struct {
	Where string // file:line:column, a variable of the environment, or a flag
	What  string
}

// Error returns both in one line.
func (p *Problem) Error() string { return p.Where + ": " + p.What }

// Load settles the settings. flags are those of the command line, as [Flags]
// made them; environ is in the form of os.Environ. The error joins every problem
// that there is, each a [*Problem]. Settings are returned with an error, too, as
// far as they can be told, to look at.
func Load(flags *pflag.FlagSet, environ []string) (*Settings, error) {
	s := Defaults()
	env := environment(environ)
	var problems []error
	if path, origin := configFile(flags, env); path != "" {
		s.File, s.origins["config"] = path, origin
		problems = append(problems, s.readFile(path))
	}
	problems = append(problems, s.readEnvironment(env), s.readFlags(flags), s.globus(env), s.check())
	return s, errors.Join(problems...)
}

// Flags returns the flags of all settings for a command, and --config.
func Flags() []Group {
	g := newGroup("Configuration")
	g.StringP("config", "c", "", "TOML `file` of proxystore-relay, and in its table [relay] the flags below")
	return append([]Group{g}, Defaults().Groups()...)
}

// flagSet returns all flags of s in one set. What is set in a new set replaces
// what s had, lists included.
func (s *Settings) flagSet() *pflag.FlagSet {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, group := range s.Groups() {
		all.AddFlagSet(group.FlagSet)
	}
	return all
}

// configFile returns the file to read, which a flag or the environment names.
func configFile(flags *pflag.FlagSet, env map[string]string) (path, origin string) {
	if flag := flags.Lookup("config"); flag != nil && flag.Changed {
		return flag.Value.String(), "--config"
	}
	return env["RELAY_CONFIG"], "RELAY_CONFIG"
}

// readFlags applies the flags that were given.
func (s *Settings) readFlags(flags *pflag.FlagSet) error {
	own := s.flagSet()
	var problems []error
	flags.Visit(func(given *pflag.Flag) {
		flag := own.Lookup(given.Name)
		if flag == nil {
			return // not a setting
		}
		if err := flag.Value.Set(given.Value.String()); err != nil {
			problems = append(problems, &Problem{Where: "--" + given.Name, What: err.Error()})
		}
		s.came(given.Name, "--"+given.Name)
	})
	return errors.Join(problems...)
}

// environment returns the variables that are set, and not empty: that is how
// a variable is taken back in most places where they come from.
func environment(environ []string) map[string]string {
	env := make(map[string]string)
	for _, variable := range environ {
		if name, text, ok := strings.Cut(variable, "="); ok && text != "" {
			env[name] = text
		}
	}
	return env
}

// readEnvironment applies the variables of all settings.
func (s *Settings) readEnvironment(env map[string]string) error {
	var problems []error
	s.flagSet().VisitAll(func(flag *pflag.Flag) {
		name := variable(flag.Name)
		text, ok := env[name]
		if !ok {
			return
		}
		if err := flag.Value.Set(text); err != nil {
			problems = append(problems, &Problem{Where: name, What: err.Error()})
			return
		}
		s.came(flag.Name, name)
	})
	if secret := env[variable(secretName)]; secret != "" {
		s.AuthClientSecret = Secret(secret)
		s.came(secretName, variable(secretName))
	}
	s.misspelt(env)
	return errors.Join(problems...)
}

// misspelt warns about variables that are nearly ours. Others that begin like
// ours are not: Kubernetes, for one, sets RELAY_PORT for a service named relay.
func (s *Settings) misspelt(env map[string]string) {
	names := append(s.names(), "config", "auth_client_secret")
	for _, name := range slices.Sorted(maps.Keys(env)) {
		written, ok := strings.CutPrefix(name, "RELAY_")
		written = strings.ToLower(written)
		if near := nearest(written, names); ok && near != "" && near != written {
			s.Warnings = append(s.Warnings, &Problem{Where: name, What: "there is no such variable, it is ignored; did you mean " + variable(near) + "?"})
		}
	}
}

// globus fills in what goes without saying at Globus Auth. If one credential is
// missing, both are taken from proxystore-relay's variables, as that does.
func (s *Settings) globus(env map[string]string) error {
	const idName, globusSecretName = "PROXYSTORE_GLOBUS_CLIENT_ID", "PROXYSTORE_GLOBUS_CLIENT_SECRET"
	if s.Auth != AuthGlobus {
		return nil
	}
	s.AuthIntrospectionURL = cmp.Or(s.AuthIntrospectionURL, auth.GlobusURL)
	s.AuthAudience = cmp.Or(s.AuthAudience, auth.GlobusAudience)
	if s.AuthClientID != "" && s.hasSecret() {
		return nil
	}
	if env[idName] == "" || env[globusSecretName] == "" {
		return s.problem("auth", "globus needs --auth-client-id and --auth-client-secret-file (client_id and client_secret in [auth.kwargs]), or "+
			idName+" and "+globusSecretName+" in the environment")
	}
	s.AuthClientID, s.AuthClientSecret = env[idName], Secret(env[globusSecretName])
	s.came("auth-client-id", idName)
	s.came(secretName, globusSecretName)
	return nil
}

// came notes where a setting came from. A secret and the name of a file with it
// are two forms of one setting: the one that came last stays.
func (s *Settings) came(name, origin string) {
	s.origins[name] = origin
	switch name {
	case secretName:
		s.AuthClientSecretFile = ""
		delete(s.origins, secretFileName)
	case secretFileName:
		s.AuthClientSecret = ""
		delete(s.origins, secretName)
	}
}

func (s *Settings) hasSecret() bool { return s.AuthClientSecret != "" || s.AuthClientSecretFile != "" }

// variable returns the variable of a flag.
func variable(flag string) string {
	return "RELAY_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// names returns those of all settings, as keys of the table [relay].
func (s *Settings) names() []string {
	var names []string
	s.flagSet().VisitAll(func(flag *pflag.Flag) {
		names = append(names, strings.ReplaceAll(flag.Name, "-", "_"))
	})
	return names
}
