package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"callpoint/sync/salesforce"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// The login flows that init sets up.
const (
	loginClientCredentials = "client-credentials"
	loginJWT               = "jwt"
)

var loginFlows = []string{loginClientCredentials, loginJWT}

// initAnswers are what init asks for: by flags, by the existing configuration, or by the
// user. Empty means unknown.
type initAnswers struct {
	domain, login, key string
	secretFile         string // or - for stdin
	username, keyFile  string
	vendor, site       string

	secret, privateKey string // content, read from the files or typed
}

// An initializer writes a set-up into a folder.
type initializer struct {
	p          *program
	dir        string
	yes, force bool
	want       initAnswers
	input      *bufio.Reader
}

func (p *program) initCommand() *cobra.Command {
	i := &initializer{p: p}
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a configuration with its secret, check it, and list what is left to do",
		Long: `init asks for the org's domain, the login, the call-tracking vendor and the site; every
question has a flag, and --yes asks nothing. It writes /etc/callpoint/callpoint.env and the
secret beside it, readable by root alone (the systemd units hand it to the service), creates
the store, runs check, and prints what is left to do.

With --dir the configuration and the store are in that folder, for --env-file.

Answers that are known already are kept: running it twice changes nothing. A configuration
for another org is changed with --force only. Setup in Salesforce comes first:
docs/salesforce-setup.md.`,
		Example: `  callpoint init
  callpoint init --yes --domain https://example.my.salesforce.com --consumer-key 3MVG9... --consumer-secret-file secret.txt --site https://www.example.com
  callpoint init --yes --domain https://example.my.salesforce.com --login jwt --consumer-key 3MVG9... --jwt-username integration@example.com --jwt-key-file server.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return i.run(cmd.Context()) },
	}
	f := c.Flags()
	f.StringVar(&i.want.domain, "domain", "", "the org's My Domain, `URL` such as https://example.my.salesforce.com")
	f.StringVar(&i.want.login, "login", "", "login `FLOW`: client-credentials (default) or jwt")
	f.StringVar(&i.want.key, "consumer-key", "", "consumer `KEY` of the app in Salesforce")
	f.StringVar(&i.want.secretFile, "consumer-secret-file", "", "`FILE` with the consumer secret; - for standard input")
	f.StringVar(&i.want.username, "jwt-username", "", "`USERNAME` of the integration user (jwt)")
	f.StringVar(&i.want.keyFile, "jwt-key-file", "", "`FILE` with the RSA private key in PEM (jwt); - for standard input")
	f.StringVar(&i.want.vendor, "vendor", "", "whose Tasks carry the BizibleId: `NAME` of "+strings.Join(vendorNames(), ", "))
	f.StringVar(&i.want.site, "site", "", "`URL` of the site that serves /callpoint.js, such as https://www.example.com")
	f.StringVar(&i.dir, "dir", filepath.Dir(systemConfig), "`FOLDER` to write to")
	f.BoolVarP(&i.yes, "yes", "y", false, "ask nothing")
	f.BoolVar(&i.force, "force", false, "change an existing configuration to another org")
	_ = c.RegisterFlagCompletionFunc("login", completeValues(loginFlows...))
	_ = c.RegisterFlagCompletionFunc("vendor", completeValues(vendorNames()...))
	return c
}

// completeValues completes one of a fixed list of values.
func completeValues(values ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp
	}
}

// initialized is the outcome of init, as --output json prints it.
type initialized struct {
	EnvFile  string    `json:"env_file"`
	Store    string    `json:"store"`
	Changed  []string  `json:"changed"`
	Findings []finding `json:"findings"`
	Failed   int       `json:"failed"`
	Next     []string  `json:"next"`
}

func (i *initializer) run(ctx context.Context) error {
	i.input = bufio.NewReader(os.Stdin)
	var err error
	if i.dir, err = filepath.Abs(i.dir); err != nil {
		return failed(err)
	}
	if i.p.envFile != "" {
		return usage(errors.New("init writes callpoint.env in --dir; leave --env-file out"))
	}
	s, err := openSetup(i.dir)
	if err != nil {
		return asRoot(err)
	}
	if err := i.ask(s); err != nil {
		return err
	}
	if err := i.validate(s); err != nil {
		return err
	}
	done := initialized{EnvFile: s.envFile, Changed: []string{}, Findings: []finding{}}
	changed, err := i.write(s)
	if err != nil {
		return asRoot(err)
	}
	done.Changed = append(done.Changed, changed...)
	// The environment names no other org here: what was written is checked.
	environ := slices.DeleteFunc(slices.Clone(i.p.environ), func(kv string) bool { return strings.HasPrefix(kv, "SALESFORCE_") })
	c, err := loadConfig(environ, s.envFile)
	if err != nil {
		return misconfigured(fmt.Errorf("%s:\n%w", s.envFile, err))
	}
	if !c.StoreNamed {
		c.Store = systemStore
	}
	done.Store = c.Store
	created, err := createStore(c)
	if err != nil {
		return failed(err)
	}
	if created {
		done.Changed = append(done.Changed, c.Store)
	}
	var report func(finding)
	if i.p.output != "json" {
		fmt.Fprintln(i.p.stdout, changedText(done)+"\n")
		report = i.p.printFinding
	}
	if done.Findings, err = i.p.findings(ctx, c, report); err != nil {
		return err
	}
	done.Failed = countFailed(done.Findings)
	done.Next = i.next(s, c)
	if i.p.output == "json" {
		out := json.NewEncoder(i.p.stdout)
		out.SetEscapeHTML(false)
		err = out.Encode(done)
	} else {
		_, err = fmt.Fprintf(i.p.stdout, "\nWhat is left to do:\n\n%s\n", strings.Join(done.Next, "\n"))
	}
	if done.Failed > 0 {
		err = errors.Join(err, misconfigured(fmt.Errorf("%d of %d checks failed; the configuration is written: cure them, then run callpoint check", done.Failed, len(done.Findings))))
	}
	return err
}

// asRoot adds the cure to an error of permissions.
func asRoot(err error) error {
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%w; run callpoint init as root, or name another folder with --dir", err)
	}
	return failed(err)
}

func changedText(done initialized) string {
	if len(done.Changed) == 0 {
		return done.EnvFile + ": nothing to change"
	}
	return "wrote " + strings.Join(done.Changed, "\nwrote ")
}

// ask completes the answers: a flag wins, then what is configured already, then the user.
func (i *initializer) ask(s *setupFiles) error {
	w := &i.want
	jwt := s.env["SALESFORCE_USERNAME"] != "" || s.has(privateKeyFile)
	switch { // the given answers imply the flow
	case w.login != "":
	case w.username != "" || w.keyFile != "":
		w.login = loginJWT
	case w.secretFile != "":
		w.login = loginClientCredentials
	}
	configured := loginClientCredentials
	if jwt {
		configured = loginJWT
	}
	for _, q := range []struct {
		flag, question string
		answer         *string
		known          string // from the existing configuration, or the default
		optional       bool
	}{
		{"--domain", "The org's My Domain", &w.domain, s.domain(), false},
		{"--login", "Login flow: client-credentials or jwt", &w.login, configured, false},
		{"--consumer-key", "Consumer key of the app", &w.key, s.env["SALESFORCE_CONSUMER_KEY"], false},
		{"--vendor", "Call-tracking vendor (" + strings.Join(vendorNames(), ", ") + ")", &w.vendor, cmp.Or(s.env["CALLPOINT_VENDOR"], "generic"), true},
		{"--site", "Site that serves /callpoint.js (blank: later)", &w.site, s.site(), true},
	} {
		if err := i.one(q.flag, q.question, q.answer, q.known, q.optional); err != nil {
			return err
		}
	}
	switch w.login {
	case loginClientCredentials:
		return i.askSecret(&w.secret, w.secretFile, s.secret(consumerSecretFile), "--consumer-secret-file", "Consumer secret")
	case loginJWT:
		if err := i.one("--jwt-username", "Username of the integration user", &w.username, s.env["SALESFORCE_USERNAME"], false); err != nil {
			return err
		}
		if w.keyFile == "" && s.secret(privateKeyFile) == "" {
			if err := i.one("--jwt-key-file", "File with the RSA private key", &w.keyFile, "", false); err != nil {
				return err
			}
		}
		return i.askSecret(&w.privateKey, w.keyFile, s.secret(privateKeyFile), "--jwt-key-file", "")
	}
	return usage(fmt.Errorf("--login %s: use %s%s", w.login, strings.Join(loginFlows, " or "), similar(w.login, loginFlows)))
}

// one completes an answer.
func (i *initializer) one(flag, question string, answer *string, known string, optional bool) error {
	if *answer = strings.TrimSpace(*answer); *answer != "" {
		return nil
	}
	if !i.yes {
		fmt.Fprintf(i.p.stderr, "%s%s: ", question, bracketed(known))
		line, err := i.input.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return failed(err)
		}
		*answer = strings.TrimSpace(line)
	}
	if *answer == "" {
		*answer = known
	}
	if *answer == "" && !optional {
		return usage(fmt.Errorf("%s is needed", flag))
	}
	return nil
}

func bracketed(known string) string {
	if known == "" {
		return ""
	}
	return " [" + known + "]"
}

// askSecret reads a secret from a file, or from the terminal without showing it.
func (i *initializer) askSecret(to *string, path, known, flag, question string) error {
	switch {
	case path != "":
		content, err := i.readFile(path)
		if err != nil {
			return failed(fmt.Errorf("%s: %w", flag, err))
		}
		*to = content
	case !i.yes && question != "":
		kept := ""
		if known != "" {
			kept = "keep the present one"
		}
		fmt.Fprintf(i.p.stderr, "%s (not shown)%s: ", question, bracketed(kept))
		line, err := i.readHidden()
		if err != nil {
			return failed(err)
		}
		*to = line
	}
	if *to == "" {
		*to = known
	}
	if *to == "" {
		return usage(fmt.Errorf("%s is needed", flag))
	}
	return nil
}

func (i *initializer) readFile(path string) (string, error) {
	var b []byte
	var err error
	if path == "-" {
		b, err = io.ReadAll(i.input)
	} else {
		b, err = os.ReadFile(path)
	}
	if err == nil && strings.TrimSpace(string(b)) == "" {
		err = fmt.Errorf("%s is empty", path)
	}
	return strings.TrimSpace(string(b)), err
}

func (i *initializer) readHidden() (string, error) {
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) && i.input.Buffered() == 0 {
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(i.p.stderr)
		return strings.TrimSpace(string(b)), err
	}
	line, err := i.input.ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimSpace(line), err
}

// validate refuses answers that cannot work, and another org, before anything is written.
func (i *initializer) validate(s *setupFiles) error {
	w := &i.want
	w.domain = strings.TrimSuffix(w.domain, "/")
	if !strings.Contains(w.domain, "://") {
		w.domain = "https://" + w.domain
	}
	sc := salesforce.Config{Domain: w.domain, ConsumerKey: w.key, ConsumerSecret: salesforce.NewSecret(w.secret)}
	if w.login == loginJWT {
		sc = salesforce.Config{Domain: w.domain, ConsumerKey: w.key, Username: w.username, PrivateKey: salesforce.NewSecret(w.privateKey)}
	}
	client, err := salesforce.New(sc)
	if err != nil {
		return usage(err)
	}
	client.Close()
	if !slices.Contains(vendorNames(), w.vendor) {
		return usage(fmt.Errorf("--vendor %s: use one of %s%s", w.vendor, strings.Join(vendorNames(), ", "), similar(w.vendor, vendorNames())))
	}
	if w.site != "" {
		if !strings.Contains(w.site, "://") {
			w.site = "https://" + w.site
		}
		u, err := url.Parse(w.site)
		if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(u.Hostname(), "*_ ") {
			return usage(fmt.Errorf("--site %s: use an address such as https://www.example.com", w.site))
		}
		w.site = u.Scheme + "://" + u.Host
	}
	if old := s.domain(); old != "" && !strings.EqualFold(strings.TrimSuffix(old, "/"), w.domain) && !i.force {
		return usage(fmt.Errorf("%s is for the org %s; use --force to change it to %s (the store belongs to the old org: move it away as well)", s.envFile, old, w.domain))
	}
	return nil
}

// write brings the files into the form of the answers, and returns those that changed.
func (i *initializer) write(s *setupFiles) (changed []string, err error) {
	w := i.want
	s.set("SALESFORCE_DOMAIN", w.domain)
	s.set("SALESFORCE_CONSUMER_KEY", w.key)
	s.set("SALESFORCE_USERNAME", w.username)
	// Secrets live in files of their own, and other logins go: there is exactly one.
	for _, name := range []string{"SALESFORCE_CONSUMER_SECRET", "SALESFORCE_PRIVATE_KEY", "SALESFORCE_PASSWORD", "SALESFORCE_SECURITY_TOKEN", "SALESFORCE_ACCESS_TOKEN"} {
		s.set(name, "")
		s.set(name+"_FILE", "")
	}
	if w.vendor != "generic" || s.env["CALLPOINT_VENDOR"] != "" {
		s.set("CALLPOINT_VENDOR", w.vendor)
	}
	if w.site != "" {
		s.addHost(w.site)
	}
	if path := i.p.env("CALLPOINT_STORE"); path != "" {
		s.set("CALLPOINT_STORE", path)
	} else if s.env["CALLPOINT_STORE"] == "" && i.dir != filepath.Dir(systemConfig) {
		s.set("CALLPOINT_STORE", filepath.Join(i.dir, "callpoint.db"))
	}
	return s.save(map[string]string{consumerSecretFile: w.secret, privateKeyFile: w.privateKey})
}

// next lists what is left to do, as text that can be pasted.
func (i *initializer) next(s *setupFiles, c Config) []string {
	command, unit := "callpoint", []string{"3. Look at what a first cycle would write, then start the service:",
		"     CALLPOINT_DRY_RUN=true callpoint --sync-once", "     systemctl enable --now callpoint"}
	if s.envFile != systemConfig {
		command = "callpoint --env-file " + s.envFile
		unit = []string{"3. Look at what a first cycle would write, then start the daemon:", "     CALLPOINT_DRY_RUN=true " + command + " --sync-once", "     " + command}
	}
	site := i.want.site
	if site == "" && len(c.Hosts) > 0 {
		site = "https://" + c.Hosts[0]
	}
	tag := []string{"2. Serve /callpoint.js from the site (docs/collector.md) and paste this tag into every page:",
		`     <script src="` + site + `/callpoint.js" async></script>`}
	if site == "" {
		tag = []string{"2. Name the site: callpoint init --site https://www.example.com prints the tag for its pages."}
	}
	return slices.Concat([]string{"1. Deploy the permission set and assign it to the integration user (docs/salesforce-setup.md):",
		"     " + command + " metadata callpoint-sfdx     # or check --permission-set for that file alone"}, tag, unit)
}
