package mapping

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// example returns a host that an entry of the lists matches.
func (k *known) example() string {
	return strings.ReplaceAll(strings.TrimSuffix(k.host, ".*")+map[bool]string{true: ".de"}[strings.HasSuffix(k.host, ".*")], "#", "3")
}

// Every entry of every list gives its class: bare where it is no portal, and with a search phrase.
func TestWholeLists(t *testing.T) {
	t.Parallel()
	s := Default()
	list := parseSites(referrersTSV + "\n" + ownTSV)
	if len(list) < 900 {
		t.Fatalf("the lists have %d hosts", len(list))
	}
	order := map[refClass]int{webmail: 0, assistant: 1, search: 2, social: 3}
	for _, k := range list {
		if _, ok := order[k.class]; !ok || k.name == "" || k.host == "" || strings.Contains(strings.TrimSuffix(k.host, "*"), "*") {
			t.Errorf("odd entry %+v", k)
		}
		url := "https://" + k.example() + "/" + k.path
		if k.class == search && k.params[0] != "-" {
			url += "?" + k.params[0] + "=shoes"
		}
		for _, bare := range []bool{false, true} {
			if bare && k.strict {
				continue
			}
			if bare {
				url, _, _ = strings.Cut(url, "?")
			}
			o := s.readLanding(siteCache{}, Landing{"https://www.callpoint.example/", url})
			if o.class == k.class || order[o.class] < order[k.class] && o.class != otherSite || o.class == signIn {
				continue // an earlier class has the host as well
			}
			t.Errorf("%s is %s %q, and %s %q in the list", url, o.class, o.name, k.class, k.name)
		}
	}
}

// What a search company runs beside its search is no search.
func TestPortalsAreNoSearch(t *testing.T) {
	t.Parallel()
	s := Default()
	seen := 0
	for _, k := range parseSites(referrersTSV) {
		if k.class != search || searchHost.MatchString(k.host) {
			continue
		}
		seen++
		for _, sub := range []string{"maps", "disk", "docs", "accounts", "help", "developers", "cloud", "shop"} {
			url := "https://" + sub + "." + k.example() + "/?text=shoes"
			o := s.readLanding(siteCache{}, Landing{"https://www.callpoint.example/", url})
			if o.class == search && o.name == k.name {
				t.Errorf("%s is a search engine", url)
			}
		}
	}
	if seen < 300 {
		t.Errorf("%d engines", seen)
	}
}

// TestReferersYML compares the lists with Snowplow's, which .ci/run downloads: its licence, the
// GPL, does not allow its data in this repository.
func TestReferersYML(t *testing.T) {
	t.Parallel()
	path := os.Getenv("REFERERS_YML")
	if path == "" {
		t.Skip("REFERERS_YML does not name a copy of Snowplow's referers.yml: the lists were not compared with it")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lists map[string]map[string]struct {
		Domains    []string `yaml:"domains"`
		Parameters []string `yaml:"parameters"`
	}
	if err := yaml.Unmarshal(data, &lists); err != nil {
		t.Fatal(err)
	}
	classes := map[string]refClass{"email": webmail, "social": social, "search": search, "unknown": otherSite, "chatbot": assistant}
	s := Default()
	for medium, class := range classes {
		hosts, agreed := 0, 0
		for name, site := range lists[medium] {
			for _, domain := range site.Domains {
				url := "https://" + domain + "/"
				if strings.Contains(domain, "/") {
					url = "https://" + domain
				}
				if class == search && len(site.Parameters) > 0 {
					url += "?" + site.Parameters[0] + "=shoes"
				}
				hosts++
				o := s.readLanding(siteCache{}, Landing{"https://www.callpoint.example/", url})
				switch {
				case o.class == class, class == otherSite && (o.class != search || isGoogle(o.referrer.host)):
					agreed++
				case class == webmail || class == otherSite:
					t.Errorf("%s: %s of %s is %s %q", medium, url, name, o.class, o.name)
				default:
					t.Logf("%s: %s of %s is %s %q", medium, url, name, o.class, o.name)
				}
			}
		}
		t.Logf("%s: %d of %d hosts agree", medium, agreed, hosts)
		if hosts == 0 {
			t.Errorf("no %s in %s", medium, path)
		}
	}
}
