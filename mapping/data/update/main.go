// Command update writes mapping/data/referrers.tsv anew from the data set
// matomo-org/searchengine-and-social-list (CC0 1.0).
//
//	go run ./mapping/data/update [-commit HASH] [-from DIR] > mapping/data/referrers.tsv
//
// It downloads the three files of a commit, or reads them from a folder. See mapping/data/README.md
// for what the conversion changes.
package main

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	source = "https://raw.githubusercontent.com/matomo-org/searchengine-and-social-list/"
	newest = "3b3a82dc83cd146abe17aafe31254de1c25f7844" // of 2026-07-15
)

func main() {
	commit := flag.String("commit", newest, "commit of the data set")
	from := flag.String("from", "", "folder that holds the files; empty: download them")
	flag.Parse()
	if err := run(os.Stdout, *commit, *from); err != nil {
		fmt.Fprintln(os.Stderr, "update:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, commit, from string) error {
	get := func(name string) ([]byte, error) { return download(source + commit + "/" + name) }
	if from != "" {
		get = func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(from, name)) }
	}
	engines, err1 := get("SearchEngines.yml")
	socials, err2 := get("Socials.yml")
	assistants, err3 := get("AIAssistants.yml")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	lines, err := searchLines(engines)
	if err != nil {
		return fmt.Errorf("SearchEngines.yml: %w", err)
	}
	for _, list := range []struct {
		class string
		data  []byte
	}{{"social", socials}, {"assistant", assistants}} {
		more, err := plainLines(list.class, list.data)
		if err != nil {
			return fmt.Errorf("%s: %w", list.class, err)
		}
		lines = append(lines, more...)
	}
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, `# Search engines, social networks and AI assistants by host, from the data set
# matomo-org/searchengine-and-social-list (CC0 1.0, see LICENSE-CC0), commit %.12s.
# Written by mapping/data/update; do not edit. Columns, by tab: class, name, query parameters
# that hold the search phrase, hosts. Signs in hosts: see README.md.
`, commit)
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	return w.Flush()
}

func download(url string) ([]byte, error) {
	resp, err := http.Get(url) //nolint:gosec // a constant host
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// engine is one definition of a search engine.
type engine struct {
	URLs   []string `yaml:"urls"`
	Params []string `yaml:"params"`
	Hidden []string `yaml:"hiddenkeyword"`
}

// owners are engines of which the data set names each service on its own.
var owners = []string{"Google", "Bing", "Yahoo", "Yandex"}

// notSearch are sites that are listed as engines and are something else first.
var notSearch = []string{"www.facebook.com", "www.cnn.com", "chatgpt.com", "chat.openai.com"}

// engineSites are sites that are nothing but a search engine, though the data set does not say
// that their referrers come without a search phrase.
var engineSites = []string{"alltheinternet.com", "ask.com", "dogpile.com", "exalead.com", "freespoke.com", "gigablast.com", "hotbot.com", "kagi.com", "lycos.*",
	"m.sm.cn", "m.so.com", "mamma.com", "metacrawler.com", "metager.de", "mojeek.com", "oceanhero.today", "quark.sm.cn", "stract.com", "swisscows.com",
	"m.sogou.com", "wap.sogou.com", "english.sogou.com", "webcrawler.com", "yep.com", "zapmeta.com", "zapmeta.*"}

// portals are services of search companies that are found beside their search.
var portals = []string{"zhidao.baidu.com", "tieba.baidu.com", "news.baidu.com"}

// google is a host of Google, which callpoint knows by a rule.
var google = regexp.MustCompile(`^(?:[a-z0-9]+\.)?google\.(?:com|\*)(?:/|$)`)

// searchName is in the names of hosts that serve nothing but a search.
var searchName = regexp.MustCompile(`(?i)search|such|recherch|busca|busqueda|buscador|pesquisa|ricerca|ricerche|hledani|szukaj|zoek|trova|find|ixquick|^so\.|sou\.com|soso|\bcoccoc|entireweb|abcsok|rpmfind|qwant|ecosia`)

func searchLines(data []byte) ([]string, error) {
	var list yaml.Node
	if err := yaml.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	var lines []string
	for i := 0; i+1 < len(list.Content[0].Content); i += 2 {
		name := list.Content[0].Content[i].Value
		var defs []engine
		if err := list.Content[0].Content[i+1].Decode(&defs); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, d := range defs {
			d.Params = paramNames(d.Params)
			var hosts []string
			for _, u := range d.URLs {
				host := hostEntry(u)
				if slices.Contains(notSearch, u) || google.MatchString(host) || strings.Contains(host, ".*.") {
					continue
				}
				bare := len(d.Hidden) > 0 || len(d.Params) == 0 || searchName.MatchString(host) || slices.Contains(engineSites, host)
				if !bare || slices.Contains(portals, host) {
					host = "?" + host
				}
				if !slices.Contains(hosts, host) {
					hosts = append(hosts, host)
				}
			}
			if len(hosts) > 0 {
				lines = append(lines, line("search", name, d.Params, hosts))
			}
		}
	}
	return lines, nil
}

// paramNames returns parameters in lower case, without patterns of paths.
func paramNames(params []string) []string {
	var names []string
	for _, p := range params {
		p = strings.ToLower(strings.TrimSpace(p))
		if p != "" && !strings.HasPrefix(p, "/") && !slices.Contains(names, p) {
			names = append(names, p)
		}
	}
	return names
}

func plainLines(class string, data []byte) ([]string, error) {
	var list yaml.Node
	if err := yaml.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	var lines []string
	for i := 0; i+1 < len(list.Content[0].Content); i += 2 {
		name := list.Content[0].Content[i].Value
		var urls []string
		if err := list.Content[0].Content[i+1].Decode(&urls); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for j := range urls {
			urls[j] = hostEntry(urls[j])
		}
		lines = append(lines, line(class, name, nil, urls))
	}
	return lines, nil
}

// hostEntry turns "www.google.{}/cse" into "google.*/cse"; {} in front is any country's sub-domain.
func hostEntry(u string) string {
	u = strings.TrimPrefix(strings.TrimPrefix(u, "www."), "{}.")
	if strings.HasPrefix(u, "android-app//") { // android-app//PACKAGE/https/HOST
		u = strings.SplitN(u, "/", 4)[2]
	}
	return strings.TrimSuffix(strings.ReplaceAll(u, "{}", "*"), "/")
}

func line(class, name string, params, hosts []string) string {
	if plain, err := url.PathUnescape(name); err == nil {
		name = plain // Google%2B
	}
	for _, owner := range owners {
		if class == "search" && strings.HasPrefix(name, owner) {
			name = owner
		}
	}
	return strings.Join([]string{class, name, cmp.Or(strings.Join(params, ","), "-"), strings.Join(hosts, " ")}, "\t")
}
