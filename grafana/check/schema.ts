// The types of a dashboard, built from the types that Grafana publishes. Those do not define the options of a panel, so
// this file combines each kind of panel with its options. Grafana's types also require enumeration members; `Plain`
// replaces them by their text, as the files have it.

import type * as grafana from "@grafana/schema";
import type * as heatmap from "@grafana/schema/dist/types/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen.d.ts";
import type * as stat from "@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts";
import type * as timeline from "@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen.d.ts";
import type * as table from "@grafana/schema/dist/types/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen.d.ts";
import type * as timeseries from "@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts";

type Plain<T> = T extends string
  ? `${T}`
  : T extends (infer Item)[]
    ? Plain<Item>[]
    : T extends object
      ? { [Key in keyof T]: Plain<T[Key]> }
      : T;

/** A query for the Prometheus data source. Its types are not in @grafana/schema. */
interface Target {
  refId: string;
  datasource: { type: "prometheus"; uid: string };
  expr: string;
  legendFormat: string;
  editorMode: "code" | "builder";
  format?: "time_series" | "table" | "heatmap";
  range: boolean;
  instant: boolean;
}

type Of<Kind, Options, Custom> = Plain<
  Omit<grafana.Panel, "type" | "options" | "fieldConfig" | "targets"> & {
    type: Kind;
    options: Options;
    fieldConfig: Omit<grafana.FieldConfigSource, "defaults"> & {
      defaults: Omit<grafana.FieldConfig, "custom"> & { custom?: Custom };
    };
    targets: Target[];
  }
>;

export type Panels = {
  timeseries: Of<"timeseries", timeseries.Options, timeseries.FieldConfig>;
  stat: Of<"stat", stat.Options, never>;
  "state-timeline": Of<"state-timeline", Partial<timeline.Options>, timeline.FieldConfig>;
  heatmap: Of<"heatmap", Partial<heatmap.Options>, heatmap.FieldConfig>;
  table: Of<"table", table.Options, table.FieldConfig>;
  row: Plain<grafana.RowPanel>;
};

/** A dashboard without its panels; annotations have the query of their data source. */
export type Board = Plain<
  Omit<grafana.Dashboard, "panels" | "annotations"> & {
    annotations: { list: (grafana.AnnotationQuery & { expr: string })[] };
  }
>;
