"""What a reader gets: the report page, the result file and the picture of a study.

In: a ``StudyResult``. Out: ``report.html`` (one self-contained file), ``result.json`` (see
``result.schema.json``), or a PNG. Nothing is computed here that is not in the result; images are scaled for
display and numbers rounded, no more.
"""

from myoscope.report.change_page import ChangeMaps as ChangeMaps
from myoscope.report.change_page import ChangePage as ChangePage
from myoscope.report.change_page import ChangeRow as ChangeRow
from myoscope.report.change_page import ChangeSection as ChangeSection
from myoscope.report.change_page import write_change_html as write_change_html
from myoscope.report.colour_tables import COLOUR_TABLES as COLOUR_TABLES
from myoscope.report.colour_tables import DEFAULT_COLOUR_TABLE as DEFAULT_COLOUR_TABLE
from myoscope.report.figure import figure_png as figure_png
from myoscope.report.page import write_html as write_html
from myoscope.report.pairing import comparisons as comparisons
from myoscope.report.result_json import SCHEMA_VERSION as SCHEMA_VERSION
from myoscope.report.result_json import result_schema as result_schema
from myoscope.report.result_json import result_to_dict as result_to_dict
from myoscope.report.result_json import write_json as write_json
from myoscope.report.summary import summary_of as summary_of
