"""Files to core types and back: DICOM NM, PET and CT, NIfTI, Interfile projections, cohorts, our own archives.

In: paths. Out: ``Study``, ``Volume`` and ``Projections`` in LPS millimetres with their unit, and what had to be
inferred. The other way: files that read back to the same voxels in the same place and appear whole or not at all.
"""

from myoscope.io.atomic import atomic_folder as atomic_folder
from myoscope.io.atomic import atomic_write as atomic_write
from myoscope.io.atomic import output_error as output_error
from myoscope.io.atomic import refuse_existing as refuse_existing
from myoscope.io.cohort_folder import COHORT_MANIFEST as COHORT_MANIFEST
from myoscope.io.cohort_folder import CohortFolder as CohortFolder
from myoscope.io.cohort_folder import merge_parts as merge_parts
from myoscope.io.cohort_folder import read_cohort as read_cohort
from myoscope.io.cohort_folder import write_cohort as write_cohort
from myoscope.io.cohort_part import PART_SUFFIX as PART_SUFFIX
from myoscope.io.cohort_part import CohortPart as CohortPart
from myoscope.io.cohort_part import read_part as read_part
from myoscope.io.cohort_part import write_part as write_part
from myoscope.io.columns_csv import write_columns as write_columns
from myoscope.io.ct_write import WrittenCt as WrittenCt
from myoscope.io.ct_write import write_ct as write_ct
from myoscope.io.dicom_write import NmDescription as NmDescription
from myoscope.io.dicom_write import WrittenNm as WrittenNm
from myoscope.io.dicom_write import write_nm as write_nm
from myoscope.io.dicom_write import write_nm_projections as write_nm_projections
from myoscope.io.interfile import read_interfile as read_interfile
from myoscope.io.interfile import write_interfile as write_interfile
from myoscope.io.limits_file import KEY_FILE as KEY_FILE
from myoscope.io.limits_file import SignedLimits as SignedLimits
from myoscope.io.limits_file import Signer as Signer
from myoscope.io.limits_file import limits_file_name as limits_file_name
from myoscope.io.limits_file import limits_for as limits_for
from myoscope.io.limits_file import load_key as load_key
from myoscope.io.limits_file import new_key as new_key
from myoscope.io.limits_file import read_limits as read_limits
from myoscope.io.limits_file import read_limits_folder as read_limits_folder
from myoscope.io.limits_file import save_key as save_key
from myoscope.io.limits_file import shipped_limits as shipped_limits
from myoscope.io.limits_file import signer_of as signer_of
from myoscope.io.limits_file import write_limits as write_limits
from myoscope.io.map_encoding import MapKind as MapKind
from myoscope.io.nifti import read_nifti as read_nifti
from myoscope.io.nifti import write_nifti as write_nifti
from myoscope.io.pt_write import WrittenPt as WrittenPt
from myoscope.io.pt_write import write_pt as write_pt
from myoscope.io.store import load as load
from myoscope.io.store import save as save
from myoscope.io.studies import TRUTH_FILE as TRUTH_FILE
from myoscope.io.studies import TRUTH_FOLDER as TRUTH_FOLDER
from myoscope.io.studies import ReadResult as ReadResult
from myoscope.io.studies import read_paths as read_paths
from myoscope.io.studies import read_projections as read_projections
from myoscope.io.studies import read_volume as read_volume
