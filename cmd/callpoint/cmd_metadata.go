package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// sfdx is the project that metadata writes, without the permission set.
//
//go:embed all:sfdx
var sfdx embed.FS

// permissionSetPath is where the project keeps the permission set.
const permissionSetPath = "permissions/main/default/permissionsets/callpoint.permissionset-meta.xml"

func (p *program) metadataCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "metadata DIR",
		Short: "Write an SFDX project to deploy: permission set, list view, reports, dashboards, reason field",
		Long: `metadata writes a project for the Salesforce CLI into a new folder: the permission set that
the configuration needs, a list view, a report type, a report and a dashboard on phone calls,
the same on the revenue of attribution touchpoints, and the optional field of Task that takes
each call's reason. Its README lists what to deploy when. It does not log in.`,
		Example: `  callpoint metadata callpoint-sfdx
  cd callpoint-sfdx && sf project deploy start --source-dir permissions --target-org my-sandbox`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := p.config()
			if err != nil {
				return err
			}
			return p.metadata(c, args[0], force)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace the files of a folder that is not empty")
	return c
}

func (p *program) metadata(c Config, dir string, force bool) error {
	files, err := metadataFiles(c)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return failed(err)
	}
	if len(entries) > 0 && !force {
		return failed(fmt.Errorf("%s is not empty; name a new folder, or use --force to replace the project's files in it", dir))
	}
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return failed(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return failed(err)
		}
	}
	if p.output == "json" {
		return json.NewEncoder(p.stdout).Encode(map[string]any{"dir": dir, "files": sortedKeys(files)})
	}
	_, err = fmt.Fprintf(p.stdout, "wrote %d files to %s; %s lists what to deploy\n", len(files), dir, filepath.Join(dir, "README.md"))
	return err
}

// metadataFiles returns the project's files by path, for the configured object.
func metadataFiles(c Config) (map[string][]byte, error) {
	r, err := c.rules()
	if err != nil {
		return nil, misconfigured(fmt.Errorf("configuration:\n%w", err))
	}
	set, err := xml.MarshalIndent(basicSet(c, r.settings), "", "    ")
	if err != nil {
		return nil, failed(err)
	}
	files := map[string][]byte{permissionSetPath: []byte(xml.Header + string(set) + "\n")}
	err = fs.WalkDir(sfdx, "sfdx", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := sfdx.ReadFile(path)
		name := strings.ReplaceAll(strings.TrimPrefix(path, "sfdx/"), defaultTouchpoint, c.TouchpointObject)
		files[name] = bytes.ReplaceAll(content, []byte(defaultTouchpoint), []byte(c.TouchpointObject))
		return err
	})
	return files, err
}

const defaultTouchpoint = "bizible2__Bizible_Touchpoint__c"
